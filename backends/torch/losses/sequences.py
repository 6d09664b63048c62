"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

import torch

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .labels import check_labels


def sequence_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: float = 1.0,
    ignore_index: int = IGNORED_LABEL,
    **parameters: float,
) -> torch.Tensor:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[..., tokens, C]`.
        teacher_logits: the same shape; a constant.
        labels: `[..., tokens]`, int.
        divergence: name of a function in `backends.torch.divergences`; the mean is that of its row values.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does, or "sequence_mean", over the
            sequences with a valid token the mean of their means, as its text says.
        temperature: divides both logits, > 0.
        ignore_index: label of tokens that do not count.
        parameters: the divergence's own.

    Returns:
        Scalar, float64 for float64 students, else float32; 0 where no token is valid.

    Raises:
        ValueError: an unknown divergence or reduction, or a bad shape or value.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    valid = check_labels(labels, student_logits) != ignore_index
    rows = DIVERGENCES[divergence](
        student_logits, teacher_logits, **parameters, temperature=temperature, mask=valid, reduction="none"
    )
    if reduction == "token_mean":
        return rows.sum() / valid.sum().clamp(min=1)
    means = rows.sum(-1) / valid.sum(-1).clamp(min=1)
    return means.sum() / valid.any(-1).sum().clamp(min=1)
