"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .labels import check_labels


def sequence_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: float = 1.0,
    ignore_index: int = IGNORED_LABEL,
    **parameters: Any,
) -> tf.Tensor:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[sequences, tokens, C]`.
        teacher_logits: the same shape.
        labels: integers `[sequences, tokens]`.
        divergence: name of a function in `backends.tensorflow.divergences`; the average is that of its row values.
        reduction: "token_mean" over all valid tokens, as the paper's code does, or "sequence_mean", the mean over
            sequences with a valid token of the mean over their tokens, as its text does. 0 where no token is valid.
        temperature: T > 0 of both.
        ignore_index: label of tokens that do not count.
        parameters: the divergence's own.

    Raises:
        ValueError: an unknown divergence or reduction, shapes that do not fit.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    student = tf.convert_to_tensor(student_logits)
    labels = check_labels(labels, student)
    mask = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    rows = DIVERGENCES[divergence](student, teacher_logits, **parameters, temperature=temperature, mask=mask, reduction="none")
    counts = tf.cast(mask, rows.dtype)
    if reduction == "token_mean":
        return tf.reduce_sum(rows) / tf.maximum(tf.reduce_sum(counts), 1.0)
    tokens = tf.reduce_sum(counts, axis=-1)
    means = tf.reduce_sum(rows, axis=-1) / tf.maximum(tokens, 1.0)
    return tf.reduce_sum(means) / tf.maximum(tf.reduce_sum(tf.cast(tokens > 0, rows.dtype)), 1.0)
