"""Weights in and out of a PyTorch module as NumPy arrays, under PyTorch's names and layouts (nothing to translate)."""

import numpy as np
import torch
from torch import nn

_COUNTER = "num_batches_tracked"  # PyTorch's own bookkeeping, which no other backend has


def load_weights(model: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into a model, converted to its types.

    Raises:
        ValueError: names that are missing or not the model's, or a wrong shape.
    """
    state = {name: value for name, value in model.state_dict().items() if not name.endswith(_COUNTER)}
    if state.keys() != arrays.keys():
        missing, unknown = sorted(state.keys() - arrays.keys()), sorted(arrays.keys() - state.keys())
        raise ValueError(f"weights do not fit the model: missing {missing}, unknown {unknown}")
    for name, value in state.items():
        if tuple(value.shape) != arrays[name].shape:
            raise ValueError(f"weight {name!r} has shape {arrays[name].shape}; the model needs {tuple(value.shape)}")
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))


def export_weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Every parameter and running statistic by name."""
    return {
        name: value.detach().cpu().numpy().copy()
        for name, value in model.state_dict().items()
        if not name.endswith(_COUNTER)
    }
