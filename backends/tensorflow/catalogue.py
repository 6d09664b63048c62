"""The divergences that the ABKD paper (Wang et al., ICML 2025) compares, besides the α-β-divergence itself.

All are called alike: logits of student and teacher, the divergence's own parameters, then temperature, mask and
reduction with the meaning, the types and the errors that they have in `ab_divergence`. p is the teacher's distribution,
q the student's. Parameters may be scalar tensors, whose values are not checked.

Points of the α-β family are computed by it, weighted pairs of them too. The others have the form Σ q f(p/q) and are
written with f(1) = f'(1) = 0: every class's term is ≥ 0, so that nothing cancels when p and q nearly agree. With
δ = log(p/q), weights a + b = 1 and the mixture m = a q + b p they need

    L = log(m/q) = log(a + b e^δ),   N = log(p/m) = δ − L,   G(y) = y + e^(−y) − 1 ≥ 0,
    KL(q‖m) = Σ q G(−L),   KL(p‖m) = Σ p G(N),

and for the gradient h_k/q_k − h_j/q_j = r(δ_k) − r(δ_j), r = x f'(x) − f(x), from L_k − L_j, j the student's top class.
"""

from typing import Any

import tensorflow as tf

from backends.arguments import check_weight
from backends.tensorflow.alpha_beta import ab_divergence
from backends.tensorflow.divided_differences import expm1, exponential
from backends.tensorflow.rows import (
    Rows,
    check_arguments,
    checked_scalar,
    compute_type,
    evaluate,
    is_dynamic,
    pack,
    reduced,
    row_numbers,
    rows_of_logits,
)

#: terms of the series of G, by computing type: the first one left out is below a rounding error at |y| = 1
G_TERMS = {"float32": 11, "float64": 19}


def forward_kl(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> tf.Tensor:
    """KL(p‖q) = Σ p log(p/q) = D_AB(1, 0), the loss of knowledge distillation (Hinton et al., 2015) without its T²."""
    return ab_divergence(student_logits, teacher_logits, 1.0, 0.0, temperature=temperature, mask=mask,
                         reduction=reduction)  # fmt: skip


def reverse_kl(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> tf.Tensor:
    """KL(q‖p) = Σ q log(q/p) = D_AB(0, 1) (Gu et al., 2024)."""
    return ab_divergence(student_logits, teacher_logits, 0.0, 1.0, temperature=temperature, mask=mask,
                         reduction=reduction)  # fmt: skip


def alpha_divergence(
    student_logits: Any, teacher_logits: Any, alpha: Any, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """D_AB(α, 1−α) = (1 − Σ p^α q^(1−α)) / (α(1−α)), with its limits KL(p‖q) at α = 1 and KL(q‖p) at α = 0.

    It is Amari's divergence of parameter 1−2α (and, the sign reversed, 2α−1 where p and q swap roles), factor 1. With
    D = D_AB(α, 1−α) Rényi's divergence of order α is log(1 − α(1−α) D) / (α−1), Tsallis' relative entropy α D.
    """
    alpha = checked_scalar("alpha", alpha)
    return ab_divergence(student_logits, teacher_logits, alpha, 1.0 - alpha, temperature=temperature, mask=mask,
                         reduction=reduction)  # fmt: skip


def beta_divergence(
    student_logits: Any, teacher_logits: Any, beta: Any, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """D_AB(1, β) = Σ [p^(1+β)/(β(1+β)) − p q^β/β + q^(1+β)/(1+β)], KL(p‖q) at β = 0.

    The density power divergence of Basu et al. (1998) is (1+β) times this; with the exponent b = 1+β of the usual
    β-divergence (Cichocki & Amari, 2010) the factor is 1.
    """
    return ab_divergence(student_logits, teacher_logits, 1.0, beta, temperature=temperature, mask=mask,
                         reduction=reduction)  # fmt: skip


def squared_hellinger(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> tf.Tensor:
    """½ Σ (√p − √q)² = D_AB(½, ½) / 4, between 0 and 1."""
    value = ab_divergence(student_logits, teacher_logits, 0.5, 0.5, temperature=temperature, mask=mask,
                          reduction=reduction)  # fmt: skip
    return value * tf.constant(0.25, value.dtype)


def squared_euclidean(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> tf.Tensor:
    """½ Σ (p − q)² = D_AB(1, 1)."""
    return ab_divergence(student_logits, teacher_logits, 1.0, 1.0, temperature=temperature, mask=mask,
                         reduction=reduction)  # fmt: skip


def weighted_sum(
    student_logits: Any, teacher_logits: Any, weight: Any = 0.5, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """(1−w) KL(p‖q) + w KL(q‖p) with 0 < w < 1 (the paper's WSD), from two calls of `ab_divergence`."""
    weight = checked_scalar("weight", weight, check_weight)
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    weight = tf.cast(weight, compute_type(student.dtype))
    return _two_kl(student, teacher, 1.0 - weight, weight, temperature, mask, reduction)


def jensen_shannon(
    student_logits: Any, teacher_logits: Any, weight: Any = 0.1, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """λ KL(q‖m) + (1−λ) KL(p‖m), m = (1−λ)p + λq, 0 < λ < 1 (GKD, Agarwal et al., 2024; other libraries' β is 1−λ)."""
    weight = checked_scalar("weight", weight, check_weight)
    return _evaluate(_jensen_shannon, student_logits, teacher_logits, temperature, mask, reduction, weight)


def skewed_forward_kl(
    student_logits: Any, teacher_logits: Any, weight: Any = 0.1, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """KL(p ‖ λp + (1−λ)q), 0 < λ < 1 (DistiLLM, Ko et al., 2024)."""
    weight = checked_scalar("weight", weight, check_weight)
    return _evaluate(_skewed_forward_kl, student_logits, teacher_logits, temperature, mask, reduction, weight)


def skewed_reverse_kl(
    student_logits: Any, teacher_logits: Any, weight: Any = 0.1, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """KL(q ‖ (1−λ)p + λq), 0 < λ < 1 (DistiLLM, Ko et al., 2024)."""
    weight = checked_scalar("weight", weight, check_weight)
    return _evaluate(_skewed_reverse_kl, student_logits, teacher_logits, temperature, mask, reduction, weight)


def total_variation(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> tf.Tensor:
    """½ Σ |p − q|, between 0 and 1 (Wen et al., 2023); a class with p = q adds nothing to the gradient."""
    return _evaluate(_total_variation, student_logits, teacher_logits, temperature, mask, reduction)


def adaptive_kl(
    student_logits: Any, teacher_logits: Any, head: Any = 0.5, *, temperature: Any = 1.0, mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """w KL(p‖q) + (1−w) KL(q‖p), w the head's share of Σ|p−q| in each row (AKL, Wu et al., 2024).

    The head holds the classes, by falling p (the lower index first where equal), while their sum is at most `head`, and
    always the first. w is ½ where p = q and has no gradient; p and q are those at the temperature.
    """
    head = checked_scalar("head", head)
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    share = row_numbers(_head_share, student, teacher, pack(temperature, head), mask)
    return _two_kl(student, teacher, share, 1.0 - share, temperature, mask, reduction)


def bidirectional_kl(
    student_logits: Any, teacher_logits: Any, low: Any = 1.0, high: Any = 3.0, *, temperature: Any = 1.0,
    mask: Any = None, reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """w_T KL(p‖q) + w_S KL(q‖p): w_T is `high` where H(p) > H(q), w_S where H(q) > H(p), else `low` (BDKD).

    The weights are taken row by row, from the entropies at the temperature, and have no gradient.
    """
    low, high = checked_scalar("low", low), checked_scalar("high", high)
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    order = row_numbers(_entropy_order, student, teacher, pack(temperature), mask)
    low, high = (tf.cast(x, order.dtype) for x in (low, high))
    return _two_kl(student, teacher, tf.where(order > 0, high, low), tf.where(order < 0, high, low), temperature,
                   mask, reduction)  # fmt: skip


def alphanet(
    student_logits: Any, teacher_logits: Any, alpha_min: Any = 0.2, alpha_max: Any = 0.8, *, temperature: Any = 1.0,
    mask: Any = None, reduction: str = "mean",
) -> tf.Tensor:  # fmt: skip
    """The larger of D_AB(a, 1−a) and D_AB(b, 1−b), a = `alpha_min` and b = `alpha_max` (Wang et al., 2021).

    "mean" and "sum" take the larger of the two means or sums over the selected rows; "none" takes the larger in each
    row, as the original does.
    """
    values = [
        alpha_divergence(student_logits, teacher_logits, checked_scalar(name, alpha), temperature=temperature,
                         mask=mask, reduction=reduction)
        for name, alpha in (("alpha_min", alpha_min), ("alpha_max", alpha_max))
    ]  # fmt: skip
    return tf.where(values[0] >= values[1], *values)


def _evaluate(
    formula: Any, student_logits: Any, teacher_logits: Any, temperature: Any, mask: Any, reduction: str, *parameters: Any
) -> tf.Tensor:
    """A formula's divergence, from the caller's arguments; parameters are checked already."""
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    return evaluate(formula, student, teacher, pack(temperature, *parameters), mask, reduction)


def _two_kl(
    student: tf.Tensor, teacher: tf.Tensor, forward: tf.Tensor, reverse: tf.Tensor, temperature: Any,
    mask: tf.Tensor | None, reduction: str,
) -> tf.Tensor:  # fmt: skip
    """forward · KL(p‖q) + reverse · KL(q‖p), the weights scalars or one a row."""
    # both gradients are added before they are rounded to a narrower type
    student = tf.cast(student, compute_type(student.dtype))
    rows = 0.0
    for weight, (alpha, beta) in ((forward, (1.0, 0.0)), (reverse, (0.0, 1.0))):
        values = ab_divergence(student, teacher, alpha, beta, temperature=temperature, mask=mask, reduction="none")
        rows += tf.where(tf.equal(weight, 0), tf.zeros_like(values), weight * values)  # 0 · inf is nothing
    return reduced(rows, mask, reduction)


def _log_mixture(difference: tf.Tensor, own: tf.Tensor, other: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """log(own + other·e^d) where own + other = 1, accurate near d = 0 and for any d, in `dtype` from float64 d."""
    d = tf.cast(difference, dtype)
    moderate = tf.where(d < 30, d, tf.where(tf.equal(d, d), tf.zeros_like(d), d))
    power = tf.exp(moderate)
    change = other * expm1(moderate, power)
    near = tf.math.log1p(change)
    low = tf.math.log(own + other * power)
    high = d + tf.math.log(other + own * tf.exp(-tf.abs(d)))
    return tf.where(d >= 30, high, tf.where(change < -0.5, low, near))


def _excess(y: tf.Tensor) -> tf.Tensor:
    """G(y) = y + e^(−y) − 1, for |y| ≤ 1, by its series; arguments beyond are taken as 0."""
    y = tf.where(tf.abs(y) <= 1, y, tf.where(tf.equal(y, y), tf.zeros_like(y), y))
    series = tf.ones_like(y)
    for k in range(G_TERMS[y.dtype.name], 2, -1):  # Horner's rule on y²/2 − y³/3! + …
        series = 1 - y * series * (1 / k)
    return y * y / 2 * series


def _weighted_excess(
    log_weight: tf.Tensor, log_mixture: tf.Tensor, ratio: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """w G(y) = w (y − 1) + m, with m = w e^(−y): a class's part of KL(w‖m), from log w, log m (float64) and y."""
    weight = exponential(log_weight, dtype)
    direct = weight * (ratio - 1) + exponential(log_mixture, dtype)
    direct = tf.where(direct < 0, tf.zeros_like(direct), direct)  # of two denormal numbers
    return tf.where(tf.abs(ratio) <= 1, weight * _excess(ratio), direct)


class _Mixture:
    """m = own·q + other·p against both sides: what the skewed divergences are made of."""

    def __init__(self, rows: Rows, own: tf.Tensor, other: tf.Tensor) -> None:
        self._rows, self._dtype = rows, rows.dtype
        self.own, self.other = tf.cast(own, rows.dtype), tf.cast(other, rows.dtype)
        #: L = log(m/q) and N = log(p/m), `[N, C]`
        self.from_student = _log_mixture(rows.difference, self.own, self.other, rows.dtype)
        self.to_teacher = -_log_mixture(-rows.difference, self.other, self.own, rows.dtype)
        #: log m from the larger side, so that neither term is infinite
        self.logs = tf.where(
            rows.difference > 0,
            rows.teacher_logs - tf.cast(self.to_teacher, tf.float64),
            rows.student_logs + tf.cast(self.from_student, tf.float64),
        )

    def student_terms(self) -> tf.Tensor:
        """Classes' parts of KL(q‖m), each ≥ 0."""
        return _weighted_excess(self._rows.student_logs, self.logs, -self.from_student, self._dtype)

    def teacher_terms(self) -> tf.Tensor:
        """Classes' parts of KL(p‖m), each ≥ 0."""
        return _weighted_excess(self._rows.teacher_logs, self.logs, self.to_teacher, self._dtype)

    def top(self) -> tuple[tf.Tensor, tf.Tensor]:
        """p/q and m/q at the student's top class, `[N, 1]`."""
        ratio = exponential(self._rows.top_difference, self._dtype)
        return ratio, self.own + self.other * ratio

    def relative(self) -> tf.Tensor:
        """L_k − L_j with j the student's top class, `[N, C]`, accurate where the two nearly agree."""
        rows, dtype = self._rows, self._dtype
        top_ratio, top_mixture = self.top()
        step = tf.cast(rows.relative - rows.top_relative, dtype)
        near = tf.abs(step) < 0.5
        step = tf.where(near, step, tf.zeros_like(step))
        # the difference of the two ratios p/q; beyond e^40 it only needs to be large
        limit = tf.constant(40.0, tf.float64)
        ratio = exponential(tf.where(rows.difference > limit, limit, rows.difference), dtype)
        apart = tf.where(near, top_ratio * expm1(step, tf.exp(step)), ratio - top_ratio)
        change = self.other * apart / top_mixture
        top = _log_mixture(rows.top_difference, self.own, self.other, dtype)
        small = tf.abs(change) < 0.5
        return tf.where(
            small, tf.math.log1p(tf.where(small, change, tf.zeros_like(change))), self.from_student - top
        )


def _jensen_shannon(rows: Rows, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """f(x) = −λ log M + (1−λ) x log(x/M), M = λ + (1−λ)x; r = λ log M."""
    mixture = _Mixture(rows, parameters[0], 1 - parameters[0])
    terms = mixture.own * mixture.student_terms() + mixture.other * mixture.teacher_terms()
    return terms, mixture.own * exponential(rows.student_logs, rows.dtype) * mixture.relative()


def _skewed_forward_kl(rows: Rows, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """f(x) = x log(x/M), M = 1−λ + λx; r_k − r_j = (1−λ)² (x_k − x_j) / (M_k M_j)."""
    mixture = _Mixture(rows, 1 - parameters[0], parameters[0])
    relative, (_, top_mixture) = mixture.relative(), mixture.top()
    slope = expm1(-relative, tf.exp(-relative)) * (mixture.own * mixture.own / (mixture.other * top_mixture))
    return mixture.teacher_terms(), -exponential(rows.student_logs, rows.dtype) * slope


def _skewed_reverse_kl(rows: Rows, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """f(x) = −log M, M = λ + (1−λ)x; r = log M + λ/M up to a constant."""
    mixture = _Mixture(rows, parameters[0], 1 - parameters[0])
    relative, (top_ratio, top_mixture) = mixture.relative(), mixture.top()
    # y − (λ/M_j)(1 − e^(−y)) with y = L_k − L_j, as (1 − λ/M_j) y + (λ/M_j) G(y): M_j may be next to λ
    excess = tf.where(tf.abs(relative) <= 1, _excess(relative), relative - 1 + tf.exp(-relative))
    slope = (mixture.other * top_ratio * relative + mixture.own * excess) / top_mixture
    return mixture.student_terms(), exponential(rows.student_logs, rows.dtype) * slope


def _total_variation(rows: Rows, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """f(x) = |x − 1| / 2; r = sign(x − 1) / 2 up to a constant on either side."""
    terms = _gap(rows) * 0.5
    sign = tf.cast(tf.sign(rows.difference) - tf.sign(rows.top_difference), rows.dtype)
    return terms, exponential(rows.student_logs, rows.dtype) * sign * 0.5


def _gap(rows: Rows) -> tf.Tensor:
    """|p − q|, accurate where the two nearly agree."""
    larger = tf.where(rows.difference > 0, rows.teacher_logs, rows.student_logs)
    size = -tf.cast(tf.abs(rows.difference), rows.dtype)
    return -exponential(larger, rows.dtype) * expm1(size, tf.exp(size))


def _head_share(student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor) -> tf.Tensor:
    """The head's share of Σ|p − q| in each row."""
    rows, _ = rows_of_logits(student, teacher, packed[0], tf.float64)
    gaps = _gap(rows)
    order = tf.argsort(teacher, axis=-1, direction="DESCENDING", stable=True)
    p = tf.gather(tf.exp(rows.teacher_logs), order, batch_dims=1)
    first = tf.equal(tf.range(tf.shape(p)[-1]), 0)
    inside = tf.logical_or(tf.cumsum(p, axis=-1) <= packed[1], first)
    in_head = tf.reduce_sum(tf.where(inside, tf.gather(gaps, order, batch_dims=1), tf.zeros_like(p)), axis=-1)
    total = tf.reduce_sum(gaps, axis=-1)
    same = tf.equal(total, 0)
    return tf.where(same, tf.constant(0.5, tf.float64), in_head / tf.where(same, tf.ones_like(total), total))


def _entropy_order(student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor) -> tf.Tensor:
    """1 in rows where H(p) > H(q), −1 where H(q) > H(p), 0 where they are equal."""
    return tf.sign(_entropy(teacher, packed[0]) - _entropy(student, packed[0]))


def _entropy(logits: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """H of each row, also where one class holds nearly everything: what the others hold is added up alone."""
    below = (logits - tf.reduce_max(logits, axis=-1, keepdims=True)) / temperature
    weights = tf.exp(below)
    is_top = tf.equal(below, 0)
    others = tf.reduce_sum(tf.where(is_top, tf.zeros_like(weights), weights), axis=-1)
    others += tf.reduce_sum(tf.cast(is_top, weights.dtype), axis=-1) - 1
    spread = tf.reduce_sum(tf.where(tf.equal(weights, 0), tf.zeros_like(below), weights * below), axis=-1)
    return tf.math.log1p(others) - spread / (1 + others)
