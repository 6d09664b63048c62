"""Divergences of token sequences: which tokens count, and what the mean is taken over."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_sequence_arguments
from . import DIVERGENCES
from .counting import reduced
from .differentiable import check_arguments
from .labels import check_labels, shift_left


def sequence_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    divergence: str = "forward_kl",
    reduction: str = "token_mean",
    temperature: Any = 1.0,
    ignore_index: int = IGNORED_LABEL,
    shift: bool = False,
    weights: Any = None,
    normalizer: Any = None,
    **parameters: Any,
) -> tf.Tensor:
    """A divergence of the catalogue over the tokens whose label is not `ignore_index`.

    Args:
        student_logits: `[sequences, tokens, C]`.
        teacher_logits: the same shape.
        labels: integers `[sequences, tokens]`; labels[t] is the class that logits[t] predicts.
        divergence: name of a function in `backends.tensorflow.divergences`; the average is that of its row values.
        reduction: "token_mean" over all valid tokens, as the paper's code does; "sequence_mean", the mean over sequences
            with a valid token of the mean over their tokens, as its text does; or "sum" over all valid tokens. Means are 0
            where no token is valid.
        temperature: T > 0 of both.
        ignore_index: label of tokens that do not count.
        shift: the labels are the input ids, so that logits[t] predict labels[t + 1]; weights move with them.
        weights: W `[sequences, tokens]` of the labels, real, finite, ≥ 0, a constant: means are Σ W D / Σ W, and tokens of
            weight 0 are not valid.
        normalizer: a number or scalar tensor > 0 in place of the number of tokens, Σ W, or of sequences.
        parameters: the divergence's own.

    Raises:
        ValueError: an unknown divergence or reduction, shapes that do not fit, a label that is no class, weights or a
            normalizer that is not allowed.
    """
    check_sequence_arguments(divergence, DIVERGENCES, reduction)
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    kind = "sum" if reduction == "sum" else "mean"
    student, teacher, counting = check_arguments(student_logits, teacher_logits, None, kind, weights, normalizer)
    labels, counting = check_labels(labels, student, ignore_index, counting)
    options = {"temperature": temperature, "mask": counting.mask, "reduction": "none"}
    rows = DIVERGENCES[divergence](student, teacher, **parameters, **options)
    if reduction != "sequence_mean":
        return reduced(rows, counting)
    counts = tf.cast(counting.mask if counting.weights is None else counting.weights, rows.dtype)
    lengths = tf.reduce_sum(counts, axis=-1)
    sums = tf.reduce_sum(rows if counting.weights is None else rows * counts, axis=-1)
    has_tokens = tf.not_equal(lengths, 0)
    means = sums / tf.where(has_tokens, lengths, tf.ones_like(lengths))
    return reduced(means, counting._replace(mask=has_tokens, weights=None))
