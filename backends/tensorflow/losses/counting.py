"""Which rows of a loss count, how much each of them does, and what becomes of their values."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ...common.arguments import check_mask, check_normalizer, check_weights


class Counting(NamedTuple):
    """How the values of rows become a loss.

    Attributes:
        mask: bool `[...]`, the rows that count; None: all. What others hold never arrives.
        weights: float64 `[...]`, W, 0 in rows that do not count; None: 1 in each that does.
        reduction: "mean", Σ W D / Σ W (0 where no row counts); "sum", Σ W D; or "none", W D.
        normalizer: float64 scalar that Σ W D is divided by in place of Σ W; None: none.
    """

    mask: tf.Tensor | None = None
    weights: tf.Tensor | None = None
    reduction: str = "mean"
    normalizer: tf.Tensor | None = None


def values_of(argument: Any, tensor: tf.Tensor) -> np.ndarray | None:
    """The values of an argument, converted to `tensor`; None where they are known at run time only."""
    return tf.get_static_value(argument if tf.is_tensor(argument) else tensor)


def check_counting(mask: Any, weights: Any, reduction: str, normalizer: Any, shape: tf.TensorShape) -> Counting:
    """Check what says which rows count; nothing of it is differentiated.

    Args:
        mask: bool, integers, or 0 and 1, of `shape`; None: all rows.
        weights: real numbers of `shape`, finite and ≥ 0, not checked where they are known at run time only.
        reduction: a known one.
        normalizer: one number > 0; None: none.
        shape: of the rows, the logits' without classes.

    Raises:
        ValueError, TypeError: see `backends.common.arguments`.
    """
    if mask is not None:
        tensor = tf.convert_to_tensor(mask)
        check_mask(tensor.dtype.name, values_of(mask, tensor) if tensor.dtype.is_floating else None)
        mask = tf.cast(tensor, tf.bool)
    if weights is not None:
        tensor = tf.convert_to_tensor(weights)
        check_weights(tensor.dtype.name, values_of(weights, tensor))
        weights = tf.stop_gradient(tf.cast(tf.ensure_shape(tensor, shape), tf.float64))
        counted = tf.not_equal(weights, 0)
        mask = counted if mask is None else tf.logical_and(mask, counted)
        weights = tf.where(mask, weights, tf.zeros_like(weights))
    if normalizer is not None:
        tensor = tf.convert_to_tensor(normalizer) if tf.is_tensor(normalizer) else np.asarray(normalizer)
        value = values_of(normalizer, tensor) if tf.is_tensor(tensor) else normalizer
        check_normalizer(tuple(tensor.shape), value, reduction)
        normalizer = tf.stop_gradient(tf.reshape(tf.cast(tensor, tf.float64), []))
    return Counting(mask, weights, reduction, normalizer)


def reduced(rows: tf.Tensor, counting: Counting) -> tf.Tensor:
    """Row values `[...]`, 0 where the mask leaves out, weighted and reduced."""
    if counting.weights is not None:
        rows *= tf.cast(counting.weights, rows.dtype)
    if counting.reduction == "none":
        return rows
    if counting.normalizer is None and counting.reduction == "sum":
        return tf.reduce_sum(rows)
    return tf.reduce_sum(rows) / divisor(counting, tf.size(rows), rows.dtype)


def divisor(counting: Counting, rows: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """What Σ W D over so many rows is divided by to be a mean; 1 where no row counts."""
    if counting.normalizer is not None:
        return tf.cast(counting.normalizer, dtype)
    if counting.weights is not None:
        total = tf.cast(tf.reduce_sum(counting.weights), dtype)
        return tf.where(tf.equal(total, 0), tf.ones_like(total), total)
    count = rows if counting.mask is None else tf.math.count_nonzero(counting.mask, dtype=tf.int32)
    return tf.cast(tf.maximum(count, 1), dtype)


def kept(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Values `[..., C]`, zeros in rows that the mask leaves out, so that nothing of those spreads."""
    return values if mask is None else tf.where(mask[..., None], values, tf.zeros_like(values))
