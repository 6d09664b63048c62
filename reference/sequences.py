"""Divergences of token sequences in float64 NumPy: which tokens count, and what the mean is taken over."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference import catalogue
from reference.arguments import check_labels, check_logits

SEQUENCE_REDUCTIONS = ("token_mean", "sequence_mean")


def sequence_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: float = 1.0,
    ignore_index: int = -100,
    **parameters: float,
) -> tuple[np.float64, NDArray]:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`, and its gradient.

    Args:
        student_logits: [..., tokens, C].
        teacher_logits: likewise.
        labels: integers [..., tokens].
        divergence: name in `reference.catalogue`; its row values are averaged.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does, or "sequence_mean", over the
            sequences with a valid token the mean of their means, as its text says.
        temperature: T > 0 of both.
        ignore_index: label of tokens that do not count.
        **parameters: the divergence's own.

    Returns:
        The loss, 0 where no token is valid, and its gradient with respect to the student's logits.

    Raises:
        ValueError: for an unknown divergence or reduction, or a bad shape or value.
    """
    if reduction not in SEQUENCE_REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it must be one of {', '.join(SEQUENCE_REDUCTIONS)}")
    student, teacher = check_logits(student_logits, teacher_logits)
    if student.ndim < 2:
        raise ValueError(f"student_logits has shape {student.shape}; it must be [..., tokens, C]")
    valid = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index) != ignore_index
    values, gradient = catalogue.get(divergence).reference(
        student, teacher, **parameters, temperature=temperature, mask=valid, reduction="none"
    )
    if reduction == "token_mean":
        weights = valid / max(1, int(valid.sum()))
    else:
        lengths = valid.sum(axis=-1, keepdims=True)
        weights = valid / np.maximum(lengths, 1) / max(1, int((lengths > 0).sum()))
    used = np.where(valid, values * weights, 0.0)
    return used.sum(), np.where(valid[..., None], gradient * weights[..., None], 0.0)
