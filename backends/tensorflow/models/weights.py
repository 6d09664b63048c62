"""Weights of our Keras models in PyTorch's names and layouts, as NumPy arrays."""

from collections.abc import Mapping

import keras
import numpy as np

from ...common.weight_files import check_weights

# PyTorch's name of each of a layer's weights
NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "shift": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}


def load_weights(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Fill a model of `build_model` in place.

    Args:
        model: the model.
        arrays: by PyTorch name; convolutions `[out, in, height, width]`, linear `[out, in]`.

    Raises:
        ValueError: arrays are missing, left over, or of another shape.
    """
    variables = _variables(model)
    wanted = {name: _torch_shape(variable.shape) for name, variable in variables.items()}
    check_weights({name: np.shape(array) for name, array in arrays.items()}, wanted, model.name)
    for name, variable in variables.items():
        variable.assign(_to_keras(np.asarray(arrays[name])))


def export_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return every weight and running statistic of a model of `build_model`, in PyTorch's names and layouts."""
    return {name: _to_torch(variable.numpy()) for name, variable in _variables(model).items()}


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}.{NAMES[v.name]}": v for layer in model.layers for v in layer.weights}


def _to_keras(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _to_torch(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T)


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else tuple(shape[::-1])
