"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

from typing import Any

import jax
import jax.numpy as jnp

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .differentiable import Selection, check_arguments, select_rows
from .labels import check_labels, nan_where_unknown, shift_left


def sequence_loss(
    student_logits: jax.typing.ArrayLike,
    teacher_logits: jax.typing.ArrayLike,
    labels: jax.typing.ArrayLike,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: Any = 1.0,
    ignore_index: int = IGNORED_LABEL,
    shift: bool = False,
    weights: Any = None,
    normalizer: Any = None,
    **parameters: Any,
) -> jax.Array:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[..., tokens, classes]`.
        teacher_logits: the same shape; a constant.
        labels: `[..., tokens]` integers; labels[t] is the class that logits[t] predicts. Under jit a label beyond makes the
            loss NaN.
        divergence: name of a function in `backends.jax.divergences`; the mean is that of its row values.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does; "sequence_mean", over the sequences
            with a valid token the mean of their means, as its text says; or "sum" over the tokens.
        temperature: divides both logits, > 0.
        ignore_index: label of tokens that do not count.
        shift: whether labels are the input ids, as Hugging Face gives them: logits[t] predict labels[t + 1] then.
        weights: `[..., tokens]`, real, finite, ≥ 0, a constant: what each label counts, 1 if None; means are weighted.
        normalizer: a positive number or scalar that the sum is divided by in place of Σ weights, the number of tokens, or of
            the number of sequences: the whole batch's, where a batch is computed in parts.
        **parameters: the divergence's own.

    Returns:
        Scalar, float64 if the student is float64, else float32; 0 where no token is valid.

    Raises:
        ValueError: an unknown divergence or reduction, or a bad shape or value.
        TypeError: labels that are not integers.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "none")
    if student.ndim < 2:
        raise ValueError(f"student_logits has shape {student.shape}; sequences must be [..., tokens, classes]")
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    labels = check_labels(labels, student, ignore_index)
    student = nan_where_unknown(student, labels, ignore_index)
    selection = select_rows(student, labels != ignore_index, weights, reduction, normalizer)
    rows = DIVERGENCES[divergence](
        student, teacher, **parameters, temperature=temperature, mask=selection.mask, reduction="none"
    )
    if reduction == "sequence_mean":
        return _mean_of_sequences(selection, rows)
    return selection.reduced(rows, "mean" if reduction == "token_mean" else "sum")


def _mean_of_sequences(selection: Selection, rows: jax.Array) -> jax.Array:
    """Σ of the sequences' weighted means by the normalizer, or by the number of sequences with a token that counts."""
    if selection.weights is None:
        totals = jnp.maximum(selection.mask.sum(-1), 1).astype(rows.dtype)
    else:
        totals = selection.weights.sum(-1)
        totals = jnp.where(totals == 0, 1, totals)
    means = selection.weighted(rows).sum(-1) / totals
    return Selection(selection.mask.any(-1), None, selection.normalizer).reduced(means, "mean")
