"""Weights of nnx models under PyTorch's names and in PyTorch's layouts.

A module's path is the name; `kernel`, `scale` and `embedding` are PyTorch's `weight`, `mean` and `var` its running
statistics.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...common.networks import frozen_names, parameters
from ...common.weight_files import check_weights
from .layers import BatchNorm

_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# axes of an array of flax in PyTorch's order: convolution HWIO → OIHW, linear [in, out] → [out, in]
_TO_PYTORCH = {"convolution": (3, 2, 0, 1), "linear": (1, 0)}


class Frozen(nnx.Variable):
    """A parameter that is not trained."""


_KEPT = nnx.Any(nnx.Param, nnx.BatchStat, Frozen)


def parameter_names(state: nnx.State) -> list[str]:
    """PyTorch's name of each array of a state, in its order."""
    paths = [[str(part) for part in path] for path, _ in nnx.to_flat_state(state)]
    return [".".join((*modules, _NAMES.get(leaf, leaf))) for *modules, leaf in paths]


def export_weights(model: nnx.Module) -> dict[str, np.ndarray]:
    """Return the model's arrays by PyTorch name, convolution `[out, in, height, width]`, linear `[out, in]`."""
    state, rows = nnx.state(model, _KEPT), parameters(model.spec)
    arrays = {}
    for name, (_, variable) in zip(parameter_names(state), nnx.to_flat_state(state), strict=True):
        array, axes = np.asarray(variable[...]), _TO_PYTORCH.get(rows[name].layout)
        arrays[name] = array if axes is None else np.ascontiguousarray(array.transpose(axes))
    return arrays


def load_weights(model: nnx.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the arrays of a model of `build_model`, each cast to the type that the model has.

    Args:
        model: changed in place.
        arrays: by PyTorch name, as `export_weights` returns them.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    state, rows = nnx.state(model, _KEPT), parameters(model.spec)
    names = parameter_names(state)
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    check_weights(shapes, {name: rows[name].shape for name in names})
    flat = []
    for name, (path, variable) in zip(names, nnx.to_flat_state(state), strict=True):
        array, axes = np.asarray(arrays[name]), _TO_PYTORCH.get(rows[name].layout)
        if axes is not None:
            array = array.transpose(np.argsort(axes))
        flat.append((path, variable.replace(jnp.asarray(array, variable.dtype))))
    nnx.update(model, nnx.from_flat_state(flat))


def freeze(model: nnx.Module) -> None:
    """Let training leave the arrays alone that `model.spec.frozen` names; a normalisation uses its frozen statistics."""
    frozen = frozen_names(model.spec)
    if not frozen:
        return
    for path, module in nnx.iter_modules(model):
        for leaf, variable in list(vars(module).items()):
            if isinstance(variable, nnx.Variable) and ".".join((*map(str, path), _NAMES.get(leaf, leaf))) in frozen:
                if isinstance(variable, nnx.Param):
                    setattr(module, leaf, Frozen(variable[...]))
                elif isinstance(module, BatchNorm):
                    module.frozen = True
