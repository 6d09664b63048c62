"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

They return a scalar, float64 if the student's logits are, else float32, and give a gradient to the student alone.
Divergences are the careful ones of the catalogue; what logits go through before (standardising,
splitting off the target, softmax) is done in float64 and differentiated by TensorFlow.
"""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_number, check_positive, check_temperature
from .alpha_beta import ab_divergence
from .catalogue import forward_kl
from .differentiable import check_arguments
from .labels import check_labels
from .rows import compute_type


def kd_loss(student_logits: Any, teacher_logits: Any, *, temperature: float = 4.0) -> tf.Tensor:
    """T² KL(p‖q), mean over rows (Hinton et al., 2015).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        temperature: T > 0 of both.
    """
    factor = check_temperature(temperature) ** 2
    return factor * forward_kl(student_logits, teacher_logits, temperature=temperature)


def dkd_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
) -> tf.Tensor:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL among the rest] (DKD, Zhao et al., 2022).

    The published weights of the second term are 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4) and 6 (WRN, VGG);
    training multiplies the whole by `warm_up`.

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        labels: target classes, integers `[...]`; rows with `ignore_index` do not count.
        temperature: T > 0 of both.
        target_weight, non_target_weight: of the two terms.
    """
    return _decoupled(
        student_logits, teacher_logits, labels, 1.0, 0.0, temperature, target_weight, non_target_weight, ignore_index
    )


def abdkd_loss(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
) -> tf.Tensor:
    """`dkd_loss` with D_AB(α, β) in place of the KL divergence among the rest; the factor T² stays."""
    return _decoupled(
        student_logits, teacher_logits, labels, alpha, beta, temperature, target_weight, non_target_weight, ignore_index
    )


def lsd_loss(student_logits: Any, teacher_logits: Any, *, temperature: float = 2.0) -> tf.Tensor:
    """T² KL(p‖q) of standardised logits, z ← (z − mean) / (1e-7 + std) over classes (LSD, Sun et al., 2024).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        temperature: T > 0, of the standardised logits.
    """
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature)


def ablsd_loss(
    student_logits: Any, teacher_logits: Any, *, alpha: float = 0.8, beta: float = 0.3, temperature: float = 2.0
) -> tf.Tensor:
    """`lsd_loss` with D_AB(α, β) in place of the KL divergence; the factor T² stays."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    factor = check_temperature(temperature) ** 2
    value = ab_divergence(_standardised(student), _standardised(teacher), alpha, beta, temperature=temperature)
    return tf.cast(factor * value, dtype)


def ttm_loss(student_logits: Any, teacher_logits: Any, *, gamma: float = 0.1) -> tf.Tensor:
    """KL(p̃‖q) with p̃ ∝ p^γ and the student at temperature 1 (TTM, Zheng & Yang, 2024).

    Args:
        student_logits: `[..., C]`.
        teacher_logits: `[..., C]`.
        gamma: γ > 0, the power of the teacher's probabilities.
    """
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma)


def abttm_loss(
    student_logits: Any, teacher_logits: Any, *, alpha: float = 0.8, beta: float = 0.3, gamma: float = 0.1
) -> tf.Tensor:
    """`ttm_loss` with D_AB(α, β) in place of the KL divergence."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    return tf.cast(ab_divergence(student, check_positive("gamma", gamma) * teacher, alpha, beta), dtype)


def wttm_loss(student_logits: Any, teacher_logits: Any, *, gamma: float = 0.1) -> tf.Tensor:
    """`ttm_loss` with each row weighted by Σ p^γ before the mean (WTTM, Zheng & Yang, 2024)."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    power = check_positive("gamma", gamma)
    weights = tf.exp(tf.reduce_logsumexp(power * teacher, axis=-1) - power * tf.reduce_logsumexp(teacher, axis=-1))
    return tf.cast(tf.reduce_mean(weights * forward_kl(student, power * teacher, reduction="none")), dtype)


def dist_loss(student_logits: Any, teacher_logits: Any, *, temperature: float = 4.0) -> tf.Tensor:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns), of softmax(z/τ) (DIST, Huang et al., 2022).

    Args:
        student_logits: `[..., C]`; leading axes are one axis of rows.
        teacher_logits: `[..., C]`.
        temperature: τ > 0.
    """
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    tau = check_temperature(temperature)
    q, p = (tf.nn.softmax(tf.reshape(z, [-1, tf.shape(z)[-1]]) / tau) for z in (student, teacher))
    apart = 2.0 - tf.reduce_mean(_correlation(q, p, -1)) - tf.reduce_mean(_correlation(q, p, 0))
    return tf.cast(tau**2 * apart, dtype)


def _wide(student_logits: Any, teacher_logits: Any) -> tuple[tf.Tensor, tf.Tensor, tf.DType]:
    """Logits in float64, the teacher's as a constant, and the type to return."""
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "mean")
    return tf.cast(student, tf.float64), tf.stop_gradient(tf.cast(teacher, tf.float64)), compute_type(student.dtype)


def _decoupled(
    student_logits: Any,
    teacher_logits: Any,
    labels: Any,
    alpha: float,
    beta: float,
    temperature: float,
    target_weight: float,
    non_target_weight: float,
    ignore_index: int,
) -> tf.Tensor:
    """DKD with D_AB(α, β) among the classes that are not the target."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    labels = check_labels(labels, student)
    tau = check_temperature(temperature)
    mask = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    student, teacher = (tf.where(mask[..., None], z, tf.zeros_like(z)) for z in (student, teacher))
    target = tf.equal(tf.range(tf.shape(student)[-1]), tf.cast(labels, tf.int32)[..., None])
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (_split(z, target, tau) for z in (student, teacher))
    value = check_number("target_weight", target_weight) * forward_kl(student_pair, teacher_pair, mask=mask)
    value += check_number("non_target_weight", non_target_weight) * ab_divergence(
        student_rest, teacher_rest, alpha, beta, temperature=tau, mask=mask
    )
    return tf.cast(tau**2 * value, dtype)


def _split(logits: tf.Tensor, target: tf.Tensor, temperature: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits of (target, all others) at the temperature, `[..., 2]`, and the logits with the target forbidden."""
    others = tf.where(target, tf.constant(-float("inf"), logits.dtype), logits)
    own = tf.reduce_sum(tf.where(target, logits, tf.zeros_like(logits)), axis=-1)
    return tf.stack([own / temperature, tf.reduce_logsumexp(others / temperature, axis=-1)], axis=-1), others


def _standardised(logits: tf.Tensor) -> tf.Tensor:
    """(z − mean) / (1e-7 + std) over classes, the standard deviation with C − 1 in the denominator."""
    centred = logits - tf.reduce_mean(logits, axis=-1, keepdims=True)
    freedom = tf.cast(tf.maximum(tf.shape(logits)[-1] - 1, 1), logits.dtype)
    return centred / (1e-7 + _root(tf.reduce_sum(centred * centred, axis=-1, keepdims=True) / freedom))


def _correlation(x: tf.Tensor, y: tf.Tensor, axis: int) -> tf.Tensor:
    """Pearson correlation along an axis, with 1e-8 added to the denominator."""
    x, y = (z - tf.reduce_mean(z, axis=axis, keepdims=True) for z in (x, y))
    sizes = _root(tf.reduce_sum(x * x, axis=axis)) * _root(tf.reduce_sum(y * y, axis=axis))
    return tf.reduce_sum(x * y, axis=axis) / (sizes + 1e-8)


def _root(square: tf.Tensor) -> tf.Tensor:
    """Square root, whose slope at 0 is taken as 0."""
    zero = tf.equal(square, 0)
    return tf.where(zero, tf.zeros_like(square), tf.sqrt(tf.where(zero, tf.ones_like(square), square)))
