"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

They return float64 if the student's logits are, else float32, and give a gradient to the student alone. Divergences are
the careful ones of the catalogue; what logits go through before (standardising, splitting off the target, softmax) is
done in float64 and differentiated by TensorFlow.

All take these keywords:

    weights: `[...]`, real, finite, ≥ 0, a constant: W of each row; None: 1. Rows of weight 0 count as absent.
    reduction: "mean", Σ W · loss / Σ W (0 where no row counts); "sum"; or "none" (`[...]`, W · loss).
    normalizer: a number or scalar tensor > 0 that Σ W · loss is divided by in place of Σ W, as the rows of a whole batch
        whose gradient is accumulated in parts.

Temperatures may be scalar tensors, as may α and β; a tensor's value is not checked.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_number, check_positive, check_squared_temperature, check_whole_batch
from .alpha_beta import packed_ab_divergence
from .counting import Counting, divisor, kept, reduced
from .differentiable import check_arguments
from .labels import check_labels
from .operands import as_float64, checked_scalar, is_dynamic, pack
from .rows import compute_type


def kd_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 4.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """T² KL(p‖q) (Hinton et al., 2015).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        temperature: T > 0 of both.
    """
    student, teacher, counting = check_arguments(student_logits, teacher_logits, None, reduction, weights, normalizer)
    factor = _squared(temperature, compute_type(student.dtype))
    return factor * packed_ab_divergence(student, teacher, pack(1.0, 0.0, temperature), counting)


def dkd_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    temperature: Any = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL among the rest] (DKD, Zhao et al., 2022).

    The published weights of the second term are 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4) and 6 (WRN, VGG);
    training multiplies the whole by `warm_up`. Where teacher or student gives the label everything (−inf at all other
    classes, or no other class), a row has no rest and the first term alone counts.

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        labels: target classes, integers `[...]`; rows with `ignore_index` do not count.
        temperature: T > 0 of both.
        target_weight, non_target_weight: of the two terms; one of weight 0 is left out.
    """
    return abdkd_loss(
        student_logits,
        teacher_logits,
        labels,
        alpha=1.0,
        beta=0.0,
        temperature=temperature,
        target_weight=target_weight,
        non_target_weight=non_target_weight,
        ignore_index=ignore_index,
        weights=weights,
        reduction=reduction,
        normalizer=normalizer,
    )


def abdkd_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    temperature: Any = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """`dkd_loss` with D_AB(α, β) in place of the KL divergence among the rest; the factor T² stays."""
    student, teacher, counting, dtype = _wide(student_logits, teacher_logits, weights, reduction, normalizer)
    labels, counting = check_labels(labels, student, ignore_index, counting)
    factor, tau = _squared(temperature), _temperature(temperature)
    student, teacher = kept(student, counting.mask), kept(teacher, counting.mask)
    target = tf.equal(tf.range(tf.shape(student)[-1]), tf.cast(labels, tf.int32)[..., None])
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (_split(z, target, tau) for z in (student, teacher))
    value = tf.zeros(tf.shape(labels) if reduction == "none" else [], tf.float64)
    if check_number("target_weight", target_weight):  # a term that weighs nothing is not computed: 0 · inf would be NaN
        value += target_weight * packed_ab_divergence(student_pair, teacher_pair, pack(1.0, 0.0, 1.0), counting)
    if check_number("non_target_weight", non_target_weight):
        has_rest = tf.reduce_all(tf.not_equal(tf.stack([student_pair, teacher_pair])[..., 1], -float("inf")), axis=0)
        among = counting._replace(mask=tf.logical_and(counting.mask, has_rest))
        if reduction == "mean":  # over all rows, those without a rest too
            among = among._replace(normalizer=divisor(counting, tf.size(labels), tf.float64))
        rest = packed_ab_divergence(student_rest, teacher_rest, pack(alpha, beta, temperature), among)
        value += non_target_weight * rest
    return tf.cast(factor * value, dtype)


def lsd_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 2.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """T² KL(p‖q) of standardised logits, z ← (z − mean) / (1e-7 + std) over classes (LSD, Sun et al., 2024).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        temperature: T > 0, of the standardised logits.
    """
    options = {"temperature": temperature, "weights": weights, "reduction": reduction, "normalizer": normalizer}
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, **options)


def ablsd_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    temperature: Any = 2.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """`lsd_loss` with D_AB(α, β) in place of the KL divergence; the factor T² stays."""
    student, teacher, counting, dtype = _wide(student_logits, teacher_logits, weights, reduction, normalizer)
    student, teacher = (_standardised(kept(z, counting.mask)) for z in (student, teacher))
    value = packed_ab_divergence(student, teacher, pack(alpha, beta, temperature), counting)
    return tf.cast(_squared(temperature) * value, dtype)


def ttm_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    gamma: float = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """KL(p̃‖q) with p̃ ∝ p^γ and the student at temperature 1 (TTM, Zheng & Yang, 2024).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        gamma: γ > 0, the power of the teacher's probabilities.
    """
    options = {"gamma": gamma, "weights": weights, "reduction": reduction, "normalizer": normalizer}
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, **options)


def abttm_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    gamma: float = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """`ttm_loss` with D_AB(α, β) in place of the KL divergence."""
    student, teacher, counting, dtype = _wide(student_logits, teacher_logits, weights, reduction, normalizer)
    teacher = check_positive("gamma", gamma) * teacher
    return tf.cast(packed_ab_divergence(student, teacher, pack(alpha, beta, 1.0), counting), dtype)


def wttm_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    gamma: float = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """`ttm_loss` with each row multiplied by v = Σ p^γ (WTTM, Zheng & Yang, 2024): the mean is Σ W v KL / Σ W."""
    student, teacher, counting, dtype = _wide(student_logits, teacher_logits, weights, reduction, normalizer)
    power, teacher = check_positive("gamma", gamma), kept(teacher, counting.mask)
    powers = tf.exp(tf.reduce_logsumexp(power * teacher, axis=-1) - power * tf.reduce_logsumexp(teacher, axis=-1))
    single = Counting(counting.mask, reduction="none")
    rows = packed_ab_divergence(student, power * teacher, pack(1.0, 0.0, 1.0), single)
    return tf.cast(reduced(powers * rows, counting), dtype)


def dist_loss(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 4.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> tf.Tensor:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns), of softmax(z/τ) (DIST, Huang et al., 2022).

    A row of weight w counts as w rows would, in the mean over rows and in the sums over rows within columns' correlations.
    Columns correlate over the whole batch, so that parts of it do not add up: the mean is the only reduction. Correlations
    near 1 are subtracted from it, so that a value far below τ² has a relative error of about 1e-16 τ² / value.

    Args:
        student_logits: `[..., C]`; leading axes are one axis of rows.
        teacher_logits: `[..., C]`.
        temperature: τ > 0.

    Raises:
        ValueError: a reduction other than "mean", a normalizer.
    """
    check_whole_batch(reduction, normalizer)
    student, teacher, counting, dtype = _wide(student_logits, teacher_logits, weights, reduction, None)
    factor, tau = _squared(temperature), _temperature(temperature)
    student, teacher = kept(student, counting.mask), kept(teacher, counting.mask)
    q, p = (tf.nn.softmax(tf.reshape(z, [-1, tf.shape(z)[-1]]) / tau) for z in (student, teacher))
    of_rows = None if counting.weights is None else tf.reshape(counting.weights, [-1])
    rows, columns = _correlation(q, p, -1, None), _correlation(q, p, 0, None if of_rows is None else of_rows[:, None])
    apart = 2.0 - _mean(rows, 0, of_rows)[0] - tf.reduce_mean(columns)
    empty = tf.equal(tf.size(rows) if of_rows is None else tf.math.count_nonzero(of_rows), 0)
    return tf.cast(factor * tf.where(empty, tf.zeros_like(apart), apart), dtype)


def _wide(
    student_logits: Any, teacher_logits: Any, weights: Any, reduction: str, normalizer: Any
) -> tuple[tf.Tensor, tf.Tensor, Counting, tf.DType]:
    """Logits in float64, the teacher's as a constant, which rows count, and the type to return."""
    student, teacher, counting = check_arguments(student_logits, teacher_logits, None, reduction, weights, normalizer)
    wide = tf.cast(student, tf.float64), tf.stop_gradient(tf.cast(teacher, tf.float64))
    return *wide, counting, compute_type(student.dtype)


def _squared(temperature: Any, dtype: tf.DType = tf.float64) -> Any:
    """T², a factor of a loss in `dtype`: a number, or a tensor of that type."""

    def check(_: str, value: float) -> float:
        return check_squared_temperature(value, np.finfo(dtype.as_numpy_dtype).tiny, dtype.max)

    tau = checked_scalar("temperature", temperature, check)
    return tf.cast(tau * tau, dtype) if is_dynamic(tau) else tau**2


def _temperature(temperature: Any) -> tf.Tensor:
    return as_float64(checked_scalar("temperature", temperature))


def _split(logits: tf.Tensor, target: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits of (target, all others) at the temperature, `[..., 2]`, and the logits with the target forbidden."""
    others = tf.where(target, tf.constant(-float("inf"), logits.dtype), logits)
    own = tf.reduce_sum(tf.where(target, logits, tf.zeros_like(logits)), axis=-1)
    return tf.stack([own / temperature, _log_sum(others / temperature)], axis=-1), others


def _log_sum(logits: tf.Tensor) -> tf.Tensor:
    """`reduce_logsumexp` over classes, whose gradient is 0 where all of them are −inf."""
    top = tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
    top = tf.where(tf.math.is_finite(top), top, tf.zeros_like(top))
    total = tf.reduce_sum(tf.exp(logits - top), axis=-1)
    nothing = tf.equal(total, 0)
    logs = tf.math.log(tf.where(nothing, tf.ones_like(total), total)) + top[..., 0]
    return tf.where(nothing, tf.constant(-float("inf"), logs.dtype), logs)


def _standardised(logits: tf.Tensor) -> tf.Tensor:
    """(z − mean) / (1e-7 + std) over classes, the standard deviation with C − 1 in the denominator."""
    centred = logits - tf.reduce_mean(logits, axis=-1, keepdims=True)
    freedom = tf.cast(tf.maximum(tf.shape(logits)[-1] - 1, 1), logits.dtype)
    return centred / (1e-7 + _root(tf.reduce_sum(centred * centred, axis=-1, keepdims=True) / freedom))


def _mean(values: tf.Tensor, axis: int, weights: tf.Tensor | None) -> tf.Tensor:
    """Mean along an axis, weighted where there are weights; 0 where they add up to nothing."""
    if weights is None:
        return tf.reduce_mean(values, axis=axis, keepdims=True)
    total = tf.reduce_sum(weights, axis=axis, keepdims=True)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values, axis=axis, keepdims=True), total)


def _correlation(x: tf.Tensor, y: tf.Tensor, axis: int, weights: tf.Tensor | None) -> tf.Tensor:
    """Pearson correlation along an axis, with 1e-8 added to the denominator."""
    x, y = (z - _mean(z, axis, weights) for z in (x, y))

    def total(products: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(products if weights is None else weights * products, axis=axis)

    return total(x * y) / (_root(total(x * x)) * _root(total(y * y)) + 1e-8)


def _root(square: tf.Tensor) -> tf.Tensor:
    """Square root, whose slope at 0 is taken as 0."""
    zero = tf.equal(square, 0)
    return tf.where(zero, tf.zeros_like(square), tf.sqrt(tf.where(zero, tf.ones_like(square), square)))
