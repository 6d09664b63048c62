"""Class labels: their check, the rows that they leave out, and the cross-entropy with them."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_label_type, check_label_values
from .counting import Counting, kept, reduced, values_of
from .differentiable import check_arguments
from .rows import compute_type


def check_labels(labels: Any, logits: tf.Tensor, ignore_index: int, counting: Counting) -> tuple[tf.Tensor, Counting]:
    """Return labels that fit the logits, 0 in rows that do not count, and the rows that count.

    Where labels are known at run time only, or lie on an accelerator, a label that is no class weighs NaN: so its row's
    value and gradient are, and every mean.

    Args:
        labels: integers `[...]`, each a class or `ignore_index`.
        logits: `[..., C]`.
        ignore_index: label of rows that do not count.
        counting: of the rows before their labels are looked at.

    Raises:
        ValueError: a shape that does not fit, a label that is no class.
        TypeError: labels that are not integers.
    """
    given, labels = labels, tf.convert_to_tensor(labels)
    check_label_type(labels.dtype.name, labels.dtype.is_integer)
    if logits.shape.is_fully_defined() and labels.shape.is_fully_defined():
        check_label_shape(logits.shape, labels.shape)
    known = None if tf.is_tensor(given) and "GPU" in (getattr(given, "device", "") or "") else values_of(given, labels)
    if labels.dtype not in (tf.int32, tf.int64):
        labels = tf.cast(labels, tf.int64)
    counted = tf.not_equal(labels, tf.constant(ignore_index, labels.dtype))
    mask = counted if counting.mask is None else tf.logical_and(counting.mask, counted)
    weights, is_class = counting.weights, counted
    if known is not None:
        check_label_values(known, logits.shape[-1], ignore_index)
    else:
        classes = tf.cast(tf.shape(logits)[-1], labels.dtype)
        is_class = tf.logical_and(labels >= 0, labels < classes)
        weights = tf.ones_like(labels, tf.float64) if weights is None else weights
        weights = tf.where(is_class, weights, tf.constant(float("nan"), tf.float64))
    if weights is not None:
        weights = tf.where(mask, weights, tf.zeros_like(weights))
    return tf.where(is_class, labels, tf.zeros_like(labels)), counting._replace(mask=mask, weights=weights)


def shift_left(labels: Any, weights: Any, ignore_index: int) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Labels `[..., tokens]` and their weights for logits that predict the next token; the last place does not count.

    Raises:
        ValueError: labels without an axis of tokens.
    """

    def moved(values: Any, filling: int) -> tf.Tensor:
        values = tf.convert_to_tensor(values)
        if values.shape.rank == 0:
            raise ValueError("shift=True needs labels and weights [..., tokens]; one of them has no axis")
        return tf.concat([values[..., 1:], tf.cast(tf.fill(tf.shape(values[..., :1]), filling), values.dtype)], axis=-1)

    return moved(labels, ignore_index), None if weights is None else moved(weights, 0)


def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    ignore_index: int = IGNORED_LABEL,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """Cross-entropy with class labels, of the rows whose label is not `ignore_index`.

    Args:
        logits: `[..., C]`.
        labels: integers `[...]`; labels[t] is the class that logits[t] predicts.
        ignore_index: label of rows that do not count.
        weights: `[...]`, real, finite, ≥ 0, a constant: W of each row; None: 1.
        reduction: "mean", Σ W · CE / Σ W (0 where no row counts); "sum"; or "none" (`[...]`, W · CE).
        normalizer: a number > 0 that Σ W · CE is divided by in place of Σ W.

    Returns:
        A scalar, or `[...]` for "none"; float64 if the logits are, else float32.

    Raises:
        ValueError: a shape that does not fit, a label that is no class, weights or a normalizer that is not allowed.
        TypeError: labels that are not integers, logits that are not floating point.
    """
    logits, _, counting = check_arguments(logits, logits, None, reduction, weights, normalizer)
    return counted_cross_entropy(logits, *check_labels(labels, logits, ignore_index, counting))


def counted_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, counting: Counting) -> tf.Tensor:
    """`cross_entropy` of arguments that are checked already, as `check_labels` returns them."""
    logits = kept(tf.cast(logits, compute_type(logits.dtype)), counting.mask)  # whatever such rows hold stays out
    rows = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return reduced(tf.where(counting.mask, rows, tf.zeros_like(rows)), counting)
