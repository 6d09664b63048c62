"""Class labels: their check, the rows that count by them, and the cross-entropy with them."""

import torch
from torch.nn import functional

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_label_type, check_label_values, check_reduction
from .differentiable import Normalizer, check_divisor, check_tensor, may_look, row_weights
from .rows import compute_type


def check_labels(
    labels: torch.Tensor, logits: torch.Tensor, ignore_index: int = IGNORED_LABEL
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return class indices that fit the logits, and which rows count `[...]`, None where all do.

    Labels on an accelerator, or in code that is compiled, are not looked at: all rows may then be left out or unknown.

    Raises:
        ValueError: a shape that does not fit, a label that is no class and not `ignore_index`.
        TypeError: labels that are not integers.
    """
    integer = not (check_tensor("labels", labels).is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    check_label_type(str(labels.dtype), integer)
    check_label_shape(logits.shape, labels.shape)
    classes = logits.shape[-1]
    if may_look(labels) and labels.numel():
        low, high = (bound.item() for bound in labels.aminmax())
        if low < 0 or high >= classes:
            check_label_values(labels.detach().numpy(), classes, ignore_index)
        elif not low <= ignore_index <= high:
            return labels, None
    return labels, labels != ignore_index


def counted_rows(logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """The logits with zeros in the rows that do not count, which may hold anything and must not reach the gradient.

    A row whose label is no class, which was not looked at, is NaN.
    """
    if valid is None:
        return logits
    known = (labels >= 0) & (labels < logits.shape[-1])
    filling = torch.where(valid & ~known, torch.nan, 0.0).to(logits.dtype)
    return torch.where((valid & known)[..., None], logits, filling[..., None])


def shift_left(
    labels: torch.Tensor, weights: torch.Tensor | None, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Labels and weights `[..., tokens]` one place to the left, as input ids are the labels of the logits before them.

    The last place, whose logits predict what is not there, is ignored and weighs 0.
    """
    if not check_tensor("labels", labels).ndim:
        raise ValueError("shift=True moves labels along their last axis, the tokens, and labels has shape (); leave it out")
    labels = functional.pad(labels[..., 1:].long(), (0, 1), value=ignore_index)
    return labels, None if weights is None else functional.pad(check_tensor("weights", weights)[..., 1:], (0, 1))


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    ignore_index: int = IGNORED_LABEL,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """Cross-entropy of the rows whose label is not `ignore_index`.

    Args:
        logits: `[..., C]`; half types are computed in float32.
        labels: `[...]`, class indices: labels[t] is the class that logits[t] predicts.
        ignore_index: label of rows that do not count.
        weights: `[...]`, real, finite, ≥ 0, a constant: the weight of each row.
        reduction: "mean", Σ weight · loss / Σ weight over the rows that count, 0 where none does; "sum", Σ weight · loss; or
            "none" (`[...]`, weight · loss).
        normalizer: a positive number or scalar tensor by which the sum is divided in place of Σ weight.
    """
    check_tensor("logits", logits)
    check_reduction(reduction)
    labels, valid = check_labels(labels, logits, ignore_index)
    return counted_cross_entropy(logits, labels, valid, ignore_index, weights, reduction, normalizer)


def counted_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    valid: torch.Tensor | None,
    ignore_index: int,
    weights: torch.Tensor | None,
    reduction: str,
    normalizer: Normalizer | None,
) -> torch.Tensor:
    """`cross_entropy` of labels that `check_labels` has returned, with the rows that count."""
    counts = valid
    if weights is not None:
        weight = row_weights(logits, valid, weights, reduction, normalizer)
        counts = weight > 0
    wide = counted_rows(logits, labels, counts).to(compute_type(logits.dtype))
    targets = labels.long()
    if counts is not None:
        targets = torch.where(counts, targets.clamp(0, wide.shape[-1] - 1), ignore_index)
    arguments = (wide.reshape(-1, wide.shape[-1]), targets.reshape(-1))
    if weights is not None or reduction == "none":
        rows = functional.cross_entropy(*arguments, ignore_index=ignore_index, reduction="none").reshape(labels.shape)
        if weights is not None:
            rows = torch.where(counts, rows * weight, 0.0)
        return rows if reduction == "none" else rows.sum()
    total = functional.cross_entropy(*arguments, ignore_index=ignore_index, reduction="sum")
    if normalizer is not None:
        return total / check_divisor(normalizer, reduction, total)
    if reduction == "sum":
        return total
    return total / (max(labels.numel(), 1) if valid is None else valid.sum().clamp(min=1))
