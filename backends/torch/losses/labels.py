"""Class labels: their check, and the cross-entropy with them."""

import torch
from torch.nn import functional

from ...common.arguments import IGNORED_LABEL, check_label_shape
from .rows import compute_type


def check_labels(labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return class indices that fit the logits.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: labels that are not integers.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels has type {labels.dtype}; class indices must be integers")
    check_label_shape(logits.shape, labels.shape)
    return labels


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, ignore_index: int = IGNORED_LABEL) -> torch.Tensor:
    """Mean cross-entropy over the rows whose label is not `ignore_index`; 0 where there is none.

    Args:
        logits: `[..., C]`; half types are computed in float32.
        labels: `[...]`, class indices.
        ignore_index: label of rows that do not count.
    """
    wide = logits.to(compute_type(logits.dtype))
    targets = labels.reshape(-1).long()
    total = functional.cross_entropy(wide.reshape(-1, wide.shape[-1]), targets, ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)
