"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

import torch

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .differentiable import Normalizer, check_divisor, check_logits
from .labels import check_labels, counted_rows, shift_left


def sequence_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: float = 1.0,
    ignore_index: int = IGNORED_LABEL,
    shift: bool = False,
    weights: torch.Tensor | None = None,
    normalizer: Normalizer | None = None,
    **parameters: float,
) -> torch.Tensor:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[..., tokens, C]`.
        teacher_logits: the same shape; a constant.
        labels: `[..., tokens]`, int: labels[t] is the class that logits[t] predicts.
        divergence: name of a function in `backends.torch.divergences`; the mean is that of its row values.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does, or "sequence_mean", over the
            sequences with a valid token the mean of their means, as its text says; or "sum" over valid tokens.
        temperature: divides both logits, > 0.
        ignore_index: label of tokens that do not count.
        shift: whether labels are the input ids, as Hugging Face gives them: logits[t] predict labels[t + 1] then, and the
            last token's logits do not count.
        weights: `[..., tokens]`, real, finite, ≥ 0, a constant: the weight of each label in sum and mean.
        normalizer: a positive number or scalar tensor by which the sum is divided in place of the number (the weights) of
            valid tokens; for "sequence_mean", of sequences. With that of the whole batch (`num_items_in_batch`) the losses
            of its parts add up to the batch's.
        parameters: the divergence's own; one that has a parameter "weight" of its own takes it here.

    Returns:
        Scalar, float64 for float64 students, else float32; 0 where no token is valid.

    Raises:
        ValueError: an unknown divergence or reduction, a label that is no class, or a bad shape or value.
        TypeError: logits that are not floating point, labels that are not integers.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    check_logits(student_logits, teacher_logits)
    labels, valid = check_labels(labels, student_logits, ignore_index)
    student = counted_rows(student_logits, labels, valid)
    rows = DIVERGENCES[divergence](
        student, teacher_logits, **parameters, temperature=temperature, mask=valid, weights=weights, reduction="none"
    )
    counted = torch.ones_like(labels, dtype=rows.dtype) if weights is None else weights.detach().to(rows.device, rows.dtype)
    counted = counted if valid is None else counted * valid
    if reduction == "sequence_mean":
        totals, sizes = rows.sum(-1), counted.sum(-1)
        values, counted = totals / torch.where(sizes > 0, sizes, 1.0), (sizes > 0).to(rows.dtype)
    else:
        values = rows
    if normalizer is not None:
        return values.sum() / check_divisor(normalizer, reduction, values)
    if reduction == "sum":
        return values.sum()
    size = counted.sum()
    return values.sum() / torch.where(size > 0, size, 1.0)
