"""The divergences that the ABKD paper (Wang et al., ICML 2025) compares, besides the α-β-divergence itself.

All are called alike: logits of student and teacher, the divergence's own parameters, then temperature, mask, weights
and reduction with the meaning, the types and the errors that they have in `ab_divergence`. p is the teacher's distribution,
q the student's. Parameters may be scalar tensors, whose values are not checked.

Points of the α-β family are computed by it, weighted pairs of them too. Each of the others is one formula under
`row_divergence`: of `rows.Rows` and the parameters it returns each class's part of the value and of the gradient. They
have the form Σ q f(x), x = p/q = e^δ, and are written with f(1) = f'(1) = 0: every term is ≥ 0, so that nothing cancels
where p and q nearly agree. The gradient's part is q_k (r(x_k) − r(x_j)) with r = x f' − f, j the student's top class.
"""

from typing import Any

import tensorflow as tf

from ...common.arguments import check_fraction, check_not_negative
from ...common.definition import Parameter
from .alpha_beta import ab_divergence, packed_ab_divergence
from .counting import Counting, reduced
from .definition import TermsAndSlopes, row_divergence
from .differentiable import check_arguments, row_numbers
from .divided_differences import expm1
from .mixtures import Mixture, excess, gap
from .operands import as_float64, checked_scalar, pack, pack_parameters
from .rows import Rows, compare_rows, compute_type


def forward_kl(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """KL(p‖q) = Σ p log(p/q) = D_AB(1, 0), the loss of knowledge distillation (Hinton et al., 2015) without its T²."""
    return ab_divergence(
        student_logits, teacher_logits, 1.0, 0.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def reverse_kl(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """KL(q‖p) = Σ q log(q/p) = D_AB(0, 1) (Gu et al., 2024)."""
    return ab_divergence(
        student_logits, teacher_logits, 0.0, 1.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def alpha_divergence(
    student_logits: Any,
    teacher_logits: Any,
    alpha: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """D_AB(α, 1−α) = (1 − Σ p^α q^(1−α)) / (α(1−α)), with its limits KL(p‖q) at α = 1 and KL(q‖p) at α = 0.

    It is Amari's divergence of parameter 1−2α (and, the sign reversed, 2α−1 where p and q swap roles), factor 1. With
    D = D_AB(α, 1−α) Rényi's divergence of order α is log(1 − α(1−α) D) / (α−1), Tsallis' relative entropy α D.
    """
    alpha = checked_scalar("alpha", alpha)
    return ab_divergence(
        student_logits,
        teacher_logits,
        alpha,
        1.0 - alpha,
        temperature=temperature,
        mask=mask,
        weights=weights,
        reduction=reduction,
    )


def beta_divergence(
    student_logits: Any,
    teacher_logits: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """D_AB(1, β) = Σ [p^(1+β)/(β(1+β)) − p q^β/β + q^(1+β)/(1+β)], KL(p‖q) at β = 0.

    The density power divergence of Basu et al. (1998) is (1+β) times this; with the exponent b = 1+β of the usual
    β-divergence (Cichocki & Amari, 2010) the factor is 1.
    """
    return ab_divergence(
        student_logits, teacher_logits, 1.0, beta, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def squared_hellinger(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """½ Σ (√p − √q)² = D_AB(½, ½) / 4, between 0 and 1."""
    value = ab_divergence(
        student_logits, teacher_logits, 0.5, 0.5, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )
    return value * tf.constant(0.25, value.dtype)


def squared_euclidean(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """½ Σ (p − q)² = D_AB(1, 1)."""
    return ab_divergence(
        student_logits, teacher_logits, 1.0, 1.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def weighted_sum(
    student_logits: Any,
    teacher_logits: Any,
    weight: Any = 0.5,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """(1−w) KL(p‖q) + w KL(q‖p) with 0 < w < 1 (the paper's WSD), from two calls of `ab_divergence`."""
    weight = checked_scalar("weight", weight, check_fraction)
    student, teacher, counting = check_arguments(student_logits, teacher_logits, mask, reduction, weights)
    weight = as_float64(weight)
    return _two_kl(student, teacher, 1.0 - weight, weight, temperature, counting)


@row_divergence(weight=check_fraction)
def jensen_shannon(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """λ KL(q‖m) + (1−λ) KL(p‖m), m = (1−λ)p + λq, λ = `weight`, 0 < λ < 1 (GKD, Agarwal et al., 2024).

    Other libraries call 1−λ β.
    """
    # f(x) = −λ log M + (1−λ) x log(x/M), M = λ + (1−λ)x; r = λ log M
    mixture = Mixture(rows, weight.value, weight.rest)
    terms = mixture.own * mixture.student_terms() + mixture.other * mixture.teacher_terms()
    return terms, mixture.own * rows.student_probability * mixture.relative()


@row_divergence(weight=check_fraction)
def skewed_forward_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """KL(p ‖ λp + (1−λ)q), λ = `weight`, 0 < λ < 1 (DistiLLM, Ko et al., 2024)."""
    # f(x) = x log(x/M), M = 1−λ + λx; r_k − r_j = (1−λ)² (x_k − x_j) / (M_k M_j)
    mixture = Mixture(rows, weight.rest, weight.value)
    relative, (_, top_mixture) = mixture.relative(), mixture.top()
    slope = expm1(-relative, tf.exp(-relative)) * (mixture.own * mixture.own / (mixture.other * top_mixture))
    return mixture.teacher_terms(), -rows.student_probability * slope


@row_divergence(weight=check_fraction)
def skewed_reverse_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """KL(q ‖ (1−λ)p + λq), λ = `weight`, 0 < λ < 1 (DistiLLM, Ko et al., 2024)."""
    # f(x) = −log M, M = λ + (1−λ)x; r = log M + λ/M up to a constant
    mixture = Mixture(rows, weight.value, weight.rest)
    relative, (top_ratio, top_mixture) = mixture.relative(), mixture.top()
    # y − (λ/M_j)(1 − e^(−y)) with y = L_k − L_j, as (1 − λ/M_j) y + (λ/M_j) G(y): M_j may be next to λ
    slope = (mixture.other * top_ratio * relative + mixture.own * excess(relative)) / top_mixture
    return mixture.student_terms(), rows.student_probability * slope


@row_divergence()
def total_variation(rows: Rows) -> TermsAndSlopes:
    """½ Σ |p − q|, between 0 and 1 (Wen et al., 2023); a class with p = q adds nothing to the gradient."""
    # f(x) = |x − 1| / 2; r = sign(x − 1) / 2 up to a constant on either side
    sign = tf.cast(tf.sign(rows.log_ratio) - tf.sign(rows.top_log_ratio), rows.dtype)
    return gap(rows) * 0.5, rows.student_probability * sign * 0.5


def adaptive_kl(
    student_logits: Any,
    teacher_logits: Any,
    head: Any = 0.5,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """w KL(p‖q) + (1−w) KL(q‖p), w the head's share of Σ|p−q| in each row (AKL, Wu et al., 2024).

    The head holds the classes, by falling p (the lower index first where equal), while their sum is at most `head`
    (0 < head < 1), and always the first. w is ½ where p = q and has no gradient; p and q are those at the temperature.
    """
    student, teacher, counting = check_arguments(student_logits, teacher_logits, mask, reduction, weights)
    share = row_numbers(
        _head_share, student, teacher, pack_parameters({"head": head}, {"head": check_fraction}, temperature), counting.mask
    )
    return _two_kl(student, teacher, share, 1.0 - share, temperature, counting)


def bidirectional_kl(
    student_logits: Any,
    teacher_logits: Any,
    low: Any = 1.0,
    high: Any = 3.0,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """w_T KL(p‖q) + w_S KL(q‖p): w_T is `high` where H(p) > H(q), w_S where H(q) > H(p), else `low` (BDKD).

    The weights are taken row by row, from the entropies at the temperature, and have no gradient.
    """
    low, high = (checked_scalar(name, x, check_not_negative) for name, x in (("low", low), ("high", high)))
    student, teacher, counting = check_arguments(student_logits, teacher_logits, mask, reduction, weights)
    order = row_numbers(_entropy_order, student, teacher, pack_parameters({}, {}, temperature), counting.mask)
    low, high = as_float64(low), as_float64(high)
    return _two_kl(student, teacher, tf.where(order > 0, high, low), tf.where(order < 0, high, low), temperature, counting)


def alphanet(
    student_logits: Any,
    teacher_logits: Any,
    alpha_min: Any = 0.2,
    alpha_max: Any = 0.8,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """The larger of D_AB(a, 1−a) and D_AB(b, 1−b), a = `alpha_min` and b = `alpha_max` (Wang et al., 2021).

    "mean" and "sum" take the larger of the two means or sums over the selected rows; "none" takes the larger in each
    row, as the original does.
    """
    values = [
        alpha_divergence(
            student_logits,
            teacher_logits,
            checked_scalar(name, alpha),
            temperature=temperature,
            mask=mask,
            weights=weights,
            reduction=reduction,
        )
        for name, alpha in (("alpha_min", alpha_min), ("alpha_max", alpha_max))
    ]
    return tf.where(values[0] >= values[1], *values)


def _two_kl(
    student: tf.Tensor, teacher: tf.Tensor, forward: tf.Tensor, reverse: tf.Tensor, temperature: Any, counting: Counting
) -> tf.Tensor:
    """forward · KL(p‖q) + reverse · KL(q‖p), the weights float64, scalars or one a row."""
    # both gradients are added before they are rounded to a narrower type
    student = tf.cast(student, compute_type(student.dtype))
    rows, single = 0.0, Counting(counting.mask, reduction="none")
    for weight, (alpha, beta) in ((forward, (1.0, 0.0)), (reverse, (0.0, 1.0))):
        values = packed_ab_divergence(student, teacher, pack(alpha, beta, temperature), single)
        weight = tf.cast(weight, values.dtype)
        rows += tf.where(tf.equal(weight, 0), tf.zeros_like(values), weight * values)  # 0 · inf is nothing
    return reduced(rows, counting)


def _head_share(student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor) -> tf.Tensor:
    """The head's share of Σ|p − q| in each row."""
    rows, _ = compare_rows(student, teacher, packed[0], tf.float64)
    gaps = gap(rows)
    order = tf.argsort(teacher, axis=-1, direction="DESCENDING", stable=True)
    p = tf.gather(tf.exp(rows.teacher_log), order, batch_dims=1)
    first = tf.equal(tf.range(tf.shape(p)[-1]), 0)
    inside = tf.logical_or(_cumulative(p) <= packed[1], first)
    in_head = tf.reduce_sum(tf.where(inside, tf.gather(gaps, order, batch_dims=1), tf.zeros_like(p)), axis=-1)
    total = tf.reduce_sum(gaps, axis=-1)
    same = tf.equal(total, 0)
    return tf.where(same, tf.constant(0.5, tf.float64), in_head / tf.where(same, tf.ones_like(total), total))


def _cumulative(p: tf.Tensor) -> tf.Tensor:
    """Running sum along the classes, in blocks: XLA's own takes C² additions."""
    classes, size = tf.shape(p)[-1], 64
    blocks = (classes + size - 1) // size
    padded = tf.reshape(tf.pad(p, [[0, 0], [0, blocks * size - classes]]), [-1, blocks, size])
    inside = tf.cumsum(padded, axis=-1)
    before = tf.cumsum(inside[..., -1:], axis=1, exclusive=True)
    return tf.reshape(inside + before, [-1, blocks * size])[:, :classes]


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
