"""Weights of nnx models under PyTorch's names and in PyTorch's layouts.

A module's path is the name; `kernel` and `scale` are PyTorch's `weight`, `mean` and `var` its running statistics.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...common.weight_files import check_weights

_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
# axes of our kernel in PyTorch's order: convolution HWIO → OIHW, linear [in, out] → [out, in]
_TO_PYTORCH = {4: (3, 2, 0, 1), 2: (1, 0)}
_FROM_PYTORCH = {4: (2, 3, 1, 0), 2: (1, 0)}


def _variables(model: nnx.Module) -> dict[str, tuple[nnx.Variable, bool]]:
    """Each parameter and running statistic by its PyTorch name, and whether it is a kernel."""
    found = {}
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))):
        *modules, leaf = (str(part) for part in path)
        found[".".join((*modules, _NAMES.get(leaf, leaf)))] = (variable, leaf == "kernel")
    return found


def export_weights(model: nnx.Module) -> dict[str, np.ndarray]:
    """Return the model's arrays by PyTorch name, convolution `[out, in, height, width]`, linear `[out, in]`."""
    arrays = {}
    for name, (variable, is_kernel) in _variables(model).items():
        array = np.asarray(variable[...])
        arrays[name] = np.ascontiguousarray(array.transpose(_TO_PYTORCH[array.ndim])) if is_kernel else array
    return arrays


def load_weights(model: nnx.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the model's arrays, each cast to the type that the model has.

    Args:
        model: changed in place.
        arrays: by PyTorch name, as `export_weights` returns them.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    state = nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))
    variables = _variables(model)
    wanted = {name: _pytorch_shape(variable.shape, kernel) for name, (variable, kernel) in variables.items()}
    check_weights({name: np.shape(array) for name, array in arrays.items()}, wanted)
    flat = []
    for (path, variable), (name, (_, is_kernel)) in zip(nnx.to_flat_state(state), variables.items(), strict=True):
        array = np.asarray(arrays[name])
        if is_kernel:
            array = array.transpose(_FROM_PYTORCH[array.ndim])
        flat.append((path, variable.replace(jnp.asarray(array, variable.dtype))))
    nnx.update(model, nnx.from_flat_state(flat))


def _pytorch_shape(shape: tuple[int, ...], is_kernel: bool) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _TO_PYTORCH[len(shape)]) if is_kernel else tuple(shape)
