"""Weights of our Keras models in PyTorch's names and layouts, as NumPy arrays."""

from collections.abc import Mapping

import keras
import numpy as np

from ...common.networks import frozen_names, parameters
from ...common.weight_files import check_weights
from .layers import BatchNorm

# PyTorch's name of each of a layer's weights
_NAMES = {
    "kernel": "weight",
    "embeddings": "weight",
    "bias": "bias",
    "scale": "weight",
    "gamma": "weight",
    "shift": "bias",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
# axes of a Keras array in PyTorch's order: convolution HWIO → OIHW, linear [in, out] → [out, in]
_TO_PYTORCH = {"convolution": (3, 2, 0, 1), "linear": (1, 0)}


def parameter_name(model: keras.Model, variable: keras.Variable) -> str:
    """PyTorch's name of a model's variable: the names of the layers that it lies in, and its own."""
    *layers, leaf = variable.path.split("/")
    if layers and layers[0] == model.name:  # models that are no graph of layers put their own name before
        layers = layers[1:]
    return ".".join((*layers, _NAMES.get(leaf, leaf)))


def load_weights(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Fill a model of `build_model` in place.

    Args:
        model: the model.
        arrays: by PyTorch name; convolutions `[out, in, height, width]`, linear `[out, in]`.

    Raises:
        ValueError: arrays are missing, left over, or of another shape.
    """
    variables, rows = _variables(model), parameters(model.architecture[0])
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    check_weights(shapes, {name: rows[name].shape for name in variables}, model.name)
    for name, variable in variables.items():
        array, axes = np.asarray(arrays[name]), _TO_PYTORCH.get(rows[name].layout)
        variable.assign(array if axes is None else array.transpose(np.argsort(axes)))


def export_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return every weight and running statistic of a model of `build_model`, in PyTorch's names and layouts."""
    rows, arrays = parameters(model.architecture[0]), {}
    for name, variable in _variables(model).items():
        array, axes = variable.numpy(), _TO_PYTORCH.get(rows[name].layout)
        arrays[name] = np.ascontiguousarray(array if axes is None else array.transpose(axes))
    return arrays


def freeze(model: keras.Model) -> None:
    """Let training leave the arrays alone that the model's `frozen` names; a normalisation uses its frozen statistics."""
    variables = _variables(model)
    frozen = {id(variables[name]) for name in frozen_names(model.architecture[0])}
    for layer in model._flatten_layers():
        for variable in layer.weights:
            if id(variable) in frozen and variable.trainable:
                variable.trainable = False
        if isinstance(layer, BatchNorm):
            layer.frozen = id(layer.mean) in frozen or id(layer.variance) in frozen


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {parameter_name(model, variable): variable for variable in model.weights}
