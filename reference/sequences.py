"""Divergences of token sequences in float64 NumPy: which tokens count, and what the mean is taken over."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference import catalogue
from reference.arguments import check_labels, check_logits, divisor, row_weights, shift_left

SEQUENCE_REDUCTIONS = ("token_mean", "sequence_mean", "sum")


def sequence_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: float = 1.0,
    ignore_index: int = -100,
    shift: bool = False,
    weights: ArrayLike | None = None,
    normalizer: float | None = None,
    **parameters: float,
) -> tuple[np.float64, NDArray]:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`, and its gradient.

    Args:
        student_logits: [..., tokens, C].
        teacher_logits: likewise.
        labels: integers [..., tokens]; labels[t] is the class that logits[t] predicts.
        divergence: name in `reference.catalogue`; its row values are averaged.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does; "sequence_mean", over the
            sequences with a valid token the mean of their means, as its text says; or "sum" over all valid tokens.
        temperature: T > 0 of both.
        ignore_index: label of tokens that do not count.
        shift: the labels are the input ids, so that logits[t] predicts labels[t + 1]; so do the weights.
        weights: W [..., tokens] of the labels, finite and ≥ 0; means are Σ W D / Σ W, and tokens of weight 0 are not valid.
        normalizer: a number > 0 that takes the place of the number of tokens, Σ W, or of sequences.
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
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    valid = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index) != ignore_index
    counted = row_weights(valid.shape, valid, weights)
    valid = counted > 0
    values, gradient = catalogue.get(divergence).reference(
        student, teacher, **parameters, temperature=temperature, mask=valid, reduction="none"
    )
    if reduction == "sequence_mean":
        lengths = counted.sum(axis=-1, keepdims=True)
        counted = counted / np.where(lengths > 0, lengths, 1.0)
        normalizer = max(1, int((lengths > 0).sum())) if normalizer is None else normalizer
    shares = counted / divisor(counted, "sum" if reduction == "sum" else "mean", normalizer)
    used = np.where(valid, values * shares, 0.0)
    return used.sum(), np.where(valid[..., None], gradient * shares[..., None], 0.0)
