"""The training loss of the ABKD paper (Wang et al., ICML 2025), Eq. 7, and the objectives that it is compared with.

The functions named `…_loss` are the distillation term L alone: weights and cross-entropy are the caller's. They return
a scalar, float64 if the student's logits are, else float32, and give a gradient to the student alone. Divergences are
the careful ones of `backends.tensorflow.divergences`; what logits go through before (standardising, splitting off the
target, softmax) is done in float64 and differentiated by TensorFlow.
"""

from typing import Any

import tensorflow as tf

from backends.arguments import check_label_shape, check_number, check_temperature
from backends.tensorflow import divergences
from backends.tensorflow.divergences import ab_divergence, forward_kl
from backends.tensorflow.evaluation import check_arguments
from backends.tensorflow.rows import compute_type

#: how `sequence_loss` averages
SEQUENCE_REDUCTIONS = ("token_mean", "sequence_mean")


def cross_entropy(student_logits: tf.Tensor, labels: tf.Tensor, *, ignore_index: int = -100) -> tf.Tensor:
    """Mean cross-entropy with class labels, over the rows whose label is not `ignore_index` (0 where there is none).

    Args:
        student_logits: `[..., C]`.
        labels: integers `[...]`.
        ignore_index: label of rows that do not count.

    Returns:
        A scalar; float64 if the logits are, else float32.
    """
    logits = tf.cast(student_logits, compute_type(student_logits.dtype))
    counted = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    logits = tf.where(counted[..., None], logits, tf.zeros_like(logits))  # whatever such rows hold stays out
    rows = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(counted, labels, tf.zeros_like(labels)), logits)
    rows = tf.where(counted, rows, tf.zeros_like(rows))
    count = tf.maximum(tf.math.count_nonzero(counted, dtype=tf.int32), 1)
    return tf.reduce_sum(rows) / tf.cast(count, rows.dtype)


def _as_labels(labels: Any, logits: tf.Tensor) -> tf.Tensor:
    """Class indices that fit the logits."""
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise TypeError(f"labels has type {labels.dtype.name}; class indices must be integers")
    if logits.shape.is_fully_defined() and labels.shape.is_fully_defined():
        check_label_shape(logits.shape, labels.shape)
    return labels


class ABKDLoss:
    """hard_weight · CE(student_logits, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    A plain callable, not a `keras.losses.Loss`, which would cast float64 to float32. Use it in a `GradientTape` loop or
    in a model's own `train_step`. Cross-entropy is taken at temperature 1; no factor temperature² is applied.

    Args:
        alpha: any finite real number.
        beta: any finite real number.
        temperature: softens both distributions in the distillation term, > 0.
        distill_weight: weight of the distillation term.
        hard_weight: weight of the cross-entropy with the labels.
        ignore_index: rows with this label count in neither term.

    Raises:
        ValueError: a number that is not finite, temperature ≤ 0.
    """

    def __init__(
        self,
        alpha: float,
        beta: float,
        *,
        temperature: float = 1.0,
        distill_weight: float = 1.0,
        hard_weight: float = 1.0,
        ignore_index: int = -100,
    ) -> None:
        self.alpha = check_number("alpha", alpha)
        self.beta = check_number("beta", beta)
        self.temperature = check_temperature(temperature)
        self.distill_weight = check_number("distill_weight", distill_weight)
        self.hard_weight = check_number("hard_weight", hard_weight)
        self.ignore_index = ignore_index

    def __call__(self, student_logits: Any, teacher_logits: Any, labels: Any) -> tf.Tensor:
        """Return the loss, a scalar (float64 if the student's logits are, else float32).

        Args:
            student_logits: `[..., C]`.
            teacher_logits: `[..., C]`, a constant.
            labels: integers `[...]`; `ignore_index` marks rows that do not count.

        Raises:
            ValueError: shapes that do not fit.
            TypeError: labels that are not integers, logits that are not floating point.
        """
        student, teacher = tf.convert_to_tensor(student_logits), tf.convert_to_tensor(teacher_logits)
        labels = _as_labels(labels, student)
        dtype = compute_type(student.dtype)
        loss = tf.zeros([], dtype)
        if self.hard_weight:  # a term that weighs nothing is not computed: 0 · inf would be NaN
            hard = cross_entropy(student, labels, ignore_index=self.ignore_index)
            loss += tf.constant(self.hard_weight, dtype) * hard
        if self.distill_weight:
            mask = tf.not_equal(labels, tf.cast(self.ignore_index, labels.dtype))
            distill = ab_divergence(student, teacher, self.alpha, self.beta, temperature=self.temperature, mask=mask)
            loss += tf.constant(self.distill_weight, dtype) * distill
        return loss

    def __repr__(self) -> str:
        return (
            f"ABKDLoss(alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, "
            f"distill_weight={self.distill_weight}, hard_weight={self.hard_weight}, ignore_index={self.ignore_index})"
        )


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
    student_logits: Any, teacher_logits: Any, labels: Any, *, temperature: float = 4.0, target_weight: float = 1.0,
    non_target_weight: float = 2.0, ignore_index: int = -100,
) -> tf.Tensor:  # fmt: skip
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
    student_logits: Any, teacher_logits: Any, labels: Any, *, alpha: float = 0.8, beta: float = 0.3,
    temperature: float = 4.0, target_weight: float = 1.0, non_target_weight: float = 2.0, ignore_index: int = -100,
) -> tf.Tensor:  # fmt: skip
    """`dkd_loss` with D_AB(α, β) in place of the KL divergence among the rest; the factor T² stays."""
    return _decoupled(
        student_logits, teacher_logits, labels, alpha, beta, temperature, target_weight, non_target_weight, ignore_index
    )


def warm_up(epoch: float, *, epochs: float = 20.0) -> float:
    """DKD's factor min(epoch / epochs, 1) in epoch 1, 2, …; 1 where `epochs` is 0."""
    return min(epoch / epochs, 1.0) if epochs else 1.0


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
    return tf.cast(ab_divergence(student, _check_power(gamma) * teacher, alpha, beta), dtype)


def wttm_loss(student_logits: Any, teacher_logits: Any, *, gamma: float = 0.1) -> tf.Tensor:
    """`ttm_loss` with each row weighted by Σ p^γ before the mean (WTTM, Zheng & Yang, 2024)."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    power = _check_power(gamma)
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


def sequence_loss(
    student_logits: Any, teacher_logits: Any, labels: Any, *, divergence: str = "forward_kl",
    reduction: str = "token_mean", temperature: float = 1.0, ignore_index: int = -100, **parameters: Any,
) -> tf.Tensor:  # fmt: skip
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
    if reduction not in SEQUENCE_REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is not known; choose one of {', '.join(SEQUENCE_REDUCTIONS)}")
    if divergence not in divergences.__all__:
        raise ValueError(f"divergence={divergence!r} is not known; choose one of {', '.join(divergences.__all__)}")
    student = tf.convert_to_tensor(student_logits)
    labels = _as_labels(labels, student)
    mask = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
    rows = getattr(divergences, divergence)(
        student, teacher_logits, **parameters, temperature=temperature, mask=mask, reduction="none"
    )
    counts = tf.cast(mask, rows.dtype)
    if reduction == "token_mean":
        return tf.reduce_sum(rows) / tf.maximum(tf.reduce_sum(counts), 1.0)
    tokens = tf.reduce_sum(counts, axis=-1)
    means = tf.reduce_sum(rows, axis=-1) / tf.maximum(tokens, 1.0)
    return tf.reduce_sum(means) / tf.maximum(tf.reduce_sum(tf.cast(tokens > 0, rows.dtype)), 1.0)


def _wide(student_logits: Any, teacher_logits: Any) -> tuple[tf.Tensor, tf.Tensor, tf.DType]:
    """Logits in float64, the teacher's as a constant, and the type to return."""
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "mean")
    return tf.cast(student, tf.float64), tf.stop_gradient(tf.cast(teacher, tf.float64)), compute_type(student.dtype)


def _check_power(gamma: float) -> float:
    number = check_number("gamma", gamma)
    if number <= 0:
        raise ValueError(f"gamma={gamma!r} is not allowed; it must be greater than 0 (1.0 leaves the teacher as it is)")
    return number


def _decoupled(
    student_logits: Any, teacher_logits: Any, labels: Any, alpha: float, beta: float, temperature: float,
    target_weight: float, non_target_weight: float, ignore_index: int,
) -> tf.Tensor:  # fmt: skip
    """DKD with D_AB(α, β) among the classes that are not the target."""
    student, teacher, dtype = _wide(student_logits, teacher_logits)
    labels = _as_labels(labels, student)
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
