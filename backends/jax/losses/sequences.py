"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

from typing import Any

import jax
import jax.numpy as jnp

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .differentiable import check_arguments
from .labels import check_labels


def sequence_loss(
    student_logits: jax.typing.ArrayLike,
    teacher_logits: jax.typing.ArrayLike,
    labels: jax.typing.ArrayLike,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: Any = 1.0,
    ignore_index: int = IGNORED_LABEL,
    **parameters: Any,
) -> jax.Array:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[..., tokens, classes]`.
        teacher_logits: the same shape; a constant.
        labels: `[..., tokens]` integers.
        divergence: name of a function in `backends.jax.divergences`; the mean is that of its row values.
        reduction: "token_mean" over all valid tokens, as the ABKD paper's code does, or "sequence_mean", over the
            sequences with a valid token the mean of their means, as its text says.
        temperature: divides both logits, > 0.
        ignore_index: label of tokens that do not count.
        **parameters: the divergence's own.

    Returns:
        Scalar, float64 if the student is float64, else float32; 0 where no token is valid.

    Raises:
        ValueError: an unknown divergence or reduction, or a bad shape or value.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "none")
    valid = check_labels(labels, student, ignore_index) != ignore_index
    rows = DIVERGENCES[divergence](student, teacher, **parameters, temperature=temperature, mask=valid, reduction="none")
    if reduction == "token_mean":
        return rows.sum() / _at_least_one(valid.sum(), rows)
    means = rows.sum(-1) / _at_least_one(valid.sum(-1), rows)
    return means.sum() / _at_least_one(valid.any(-1).sum(), rows)


def _at_least_one(count: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.maximum(count, 1).astype(like.dtype)
