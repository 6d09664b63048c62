"""Weights in and out of a PyTorch module as NumPy arrays, under PyTorch's names and layouts (nothing to translate)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ...common.networks import ModelSpec, frozen_names
from ...common.weight_files import check_weights
from .layers import BatchNorm

COUNTER = "num_batches_tracked"  # PyTorch's own bookkeeping, which no other backend has


def load_weights(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays into a model, converted to its types.

    Raises:
        ValueError: names that are missing or not the model's, or a wrong shape.
    """
    state = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    check_weights({name: np.shape(array) for name, array in arrays.items()}, {n: v.shape for n, v in state.items()})
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))


def export_weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Every parameter and running statistic by name."""
    return {
        name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items() if not name.endswith(COUNTER)
    }


def freeze(model: nn.Module, spec: ModelSpec) -> None:
    """Let training leave the arrays alone that `spec.frozen` names; a normalisation uses its frozen statistics."""
    frozen = frozen_names(spec)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm):
            module.frozen = bool(frozen & {f"{path}.running_mean", f"{path}.running_var"})
