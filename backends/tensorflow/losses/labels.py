"""Class labels: their check, and the cross-entropy with them."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_label_shape
from .rows import compute_type


def check_labels(labels: Any, logits: tf.Tensor) -> tf.Tensor:
    """Return class indices that fit the logits.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: labels that are not integers.
    """
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise TypeError(f"labels has type {labels.dtype.name}; class indices must be integers")
    if logits.shape.is_fully_defined() and labels.shape.is_fully_defined():
        check_label_shape(logits.shape, labels.shape)
    return labels


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, *, ignore_index: int = IGNORED_LABEL) -> tf.Tensor:
    """Mean cross-entropy with class labels, over the rows whose label is not `ignore_index` (0 where there is none).

    Args:
        logits: `[..., C]`.
        labels: integers `[...]`.
        ignore_index: label of rows that do not count.

    Returns:
        A scalar; float64 if the logits are, else float32.
    """
    logits = tf.cast(logits, compute_type(logits.dtype))
    counted = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    logits = tf.where(counted[..., None], logits, tf.zeros_like(logits))  # whatever such rows hold stays out
    rows = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(counted, labels, tf.zeros_like(labels)), logits)
    rows = tf.where(counted, rows, tf.zeros_like(rows))
    count = tf.maximum(tf.math.count_nonzero(counted, dtype=tf.int32), 1)
    return tf.reduce_sum(rows) / tf.cast(count, rows.dtype)
