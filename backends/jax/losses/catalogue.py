"""The divergences beside the α-β family, and the members of that family under their usual names.

p is the teacher's distribution, q the student's, both softmax(logits / temperature); s = log p, t = log q, δ = s − t.
Arguments, conventions (−inf, NaN, masks), results and errors are those of `ab_divergence`; each divergence's own
parameters come after the logits and are, as there, numbers or traced scalars that never recompile. Where the value has
a finite limit at a forbidden class (a logit −inf) it is that limit.

Each divergence that is not of that family is one row function under `row_divergence`: of `Rows` and its parameters it
gives what each class adds to the value, and h = −∂D/∂t up to a multiple of q, best the one that is 0 at the student's
most likely class.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ...common.arguments import check_fraction, check_not_negative
from ...common.definition import Parameter
from .alpha_beta import ab_divergence, ab_rows_at
from .definition import TermsAndSlopes, row_divergence
from .divided_differences import exp_difference
from .mixtures import decay_and_complement, entropy_to_mixture, excess, gap, mixture, share
from .operands import check_concrete
from .rows import Rows, compute_type

# the centre's log-ratio is held above this, where its share of a mixture would vanish from floating point
_LOWEST_CENTRE = -40.0


def forward_kl(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> jax.Array:
    """KL(p‖q) = Σ p log(p/q), which is D_AB(1, 0). Hinton et al., 2015."""
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
) -> jax.Array:
    """KL(q‖p) = Σ q log(q/p), which is D_AB(0, 1). Gu et al. (MiniLLM), 2024."""
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
) -> jax.Array:
    """D_AB(α, 1 − α) = (1 − Σ p^α q^(1−α)) / (α (1 − α)); KL(p‖q) at α = 1, KL(q‖p) at α = 0.

    Amari's 4/(1 − a²) (1 − Σ p^((1−a)/2) q^((1+a)/2)) is this with α = (1 − a)/2, factor 1 (where signs of a are the
    other way round, α = (1 + a)/2). Rényi's of order α is log(1 − α (1 − α) D)/(α − 1), Tsallis' relative entropy α D.
    """
    return ab_divergence(
        student_logits,
        teacher_logits,
        alpha,
        1 - alpha,
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
) -> jax.Array:
    """D_AB(1, β); KL(p‖q) at β = 0, ½ Σ (p − q)² at β = 1.

    The density power divergence of Basu et al. (1998) with the same β is (1 + β) times this.
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
) -> jax.Array:
    """½ Σ (√p − √q)², a quarter of D_AB(½, ½)."""
    return 0.25 * ab_divergence(
        student_logits, teacher_logits, 0.5, 0.5, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def squared_euclidean(
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> jax.Array:
    """½ Σ (p − q)², which is D_AB(1, 1)."""
    return ab_divergence(
        student_logits, teacher_logits, 1.0, 1.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


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
) -> jax.Array:
    """The larger of D_AB(a, 1 − a) and D_AB(b, 1 − b), a = `alpha_min`, b = `alpha_max`, with the larger's gradient.

    Of the batch's means (or sums), as the ABKD paper uses it; with reduction "none" of each row, the original (Wang et
    al., AlphaNet, 2021). The first where both are equal.
    """
    dtype = compute_type(getattr(student_logits, "dtype", None))
    first, second = (
        alpha_divergence(
            student_logits, teacher_logits, alpha, temperature=temperature, mask=mask, weights=weights, reduction=reduction
        )
        for alpha in check_concrete({"alpha_min": alpha_min, "alpha_max": alpha_max}, dtype)
    )
    return jnp.where((first >= second) | jnp.isnan(first), first, second)


@row_divergence(weight=check_fraction)
def weighted_sum(rows: Rows, weight: Parameter = 0.5) -> TermsAndSlopes:
    """(1 − w) KL(p‖q) + w KL(q‖p), w = `weight`, 0 < w < 1. Wu et al. (WSD), 2024."""
    return _weighted_kl(rows, weight.rest, weight.value)


@row_divergence(weight=check_fraction)
def jensen_shannon(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """λ KL(q‖m) + (1 − λ) KL(p‖m), m = (1 − λ) p + λ q, λ = `weight`, 0 < λ < 1. Agarwal et al. (GKD), 2024.

    Other libraries call 1 − λ β.
    """
    p, q, delta, (weight, rest) = rows.teacher_probability, rows.student_probability, rows.log_ratio, weight
    terms = weight * entropy_to_mixture(q, p, delta, rest, weight)
    terms = terms + rest * entropy_to_mixture(p, q, -delta, weight, rest)
    # h = λ q log(m/q), the logarithm relative to that of the top class
    centre, x = _centred(rows)
    return terms, weight * q * mixture(x, *share(centre, rest, weight)).log


@row_divergence(weight=check_fraction)
def skewed_forward_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """KL(p ‖ λp + (1 − λ) q), λ = `weight`, 0 < λ < 1. Ko et al. (DistiLLM), 2024."""
    p, q, delta, (weight, rest) = rows.teacher_probability, rows.student_probability, rows.log_ratio, weight
    terms = entropy_to_mixture(p, q, -delta, rest, weight)
    # h = (1/λ − 1) q S(δ), S = λp/(λp + (1 − λ)q); S_k − S_j = S_k (1 − S_j) (1 − e^−x) for x = δ_k − δ_j > 0
    centre, x = rows.top_log_ratio, rows.from_top
    own, own_rest = share(delta, weight, rest)
    top, top_rest = share(centre, weight, rest)
    _, complement = decay_and_complement(x)
    apart = complement * jnp.where(x >= 0, own * top_rest, -top * own_rest)
    return terms, rest / weight * q * apart


@row_divergence(weight=check_fraction)
def skewed_reverse_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """KL(q ‖ (1 − λ) p + λq), λ = `weight`, 0 < λ < 1. Ko et al. (DistiLLM), 2024."""
    p, q, delta, (weight, rest) = rows.teacher_probability, rows.student_probability, rows.log_ratio, weight
    terms = entropy_to_mixture(q, p, delta, rest, weight)
    # h = q [log(m/q) − S], S the teacher's share of m. With m_k q_j / (q_k m_j) = 1 + N and j the top class, h_k/q_k −
    # h_j/q_j = log(1 + N) − (1 − S_j) N/(1 + N) = r(−N/(1 + N)) + S_j N/(1 + N), r(v) = v − log(1 + v).
    centre, x = _centred(rows)
    top, top_rest = share(centre, rest, weight)
    mixed = mixture(x, top, top_rest)
    relative = mixed.change / mixed.total
    close = excess(jnp.clip(-relative, -0.5, 1)) + top * relative
    return terms, q * jnp.where(jnp.abs(mixed.change) < 0.5, close, mixed.log - top_rest * relative)


@row_divergence()
def total_variation(rows: Rows) -> TermsAndSlopes:
    """½ Σ |p − q|; a class with p = q adds nothing to the gradient."""
    top = jnp.where(rows.top_valid, jnp.sign(rows.top_log_ratio), -1)
    return gap(rows) / 2, rows.student_probability * (jnp.sign(rows.log_ratio) - top) / 2


@row_divergence(head=check_fraction)
def adaptive_kl(rows: Rows, head: Parameter = 0.5) -> TermsAndSlopes:
    """w KL(p‖q) + (1 − w) KL(q‖p), w the head's share of Σ |p − q| (½ where p = q), a constant. Wu et al. (AKL), 2024.

    The head are the most likely classes of the teacher, as many as have a probability of `head` (0 < head < 1) at most
    together, but at least one; of equally likely ones the first.
    """
    gaps = gap(rows)
    _, p, ranked_gaps = jax.lax.sort((-rows.teacher_below_top, rows.teacher_probability, gaps), num_keys=1, is_stable=True)
    inside = (jnp.cumsum(p, -1) <= head.value) | (jnp.arange(p.shape[-1]) == 0)
    total = gaps.sum(-1)
    share_of_head = jnp.where(inside, ranked_gaps, 0).sum(-1) / jnp.where(total > 0, total, 1)
    forward = jnp.where(total > 0, jnp.minimum(share_of_head, 1), 0.5)
    return _weighted_kl(rows, forward, 1 - forward)


@row_divergence(low=check_not_negative, high=check_not_negative)
def bidirectional_kl(rows: Rows, low: Parameter = 1.0, high: Parameter = 3.0) -> TermsAndSlopes:
    """w_T KL(p‖q) + w_S KL(q‖p); w_T = `high` where H(p) > H(q), w_S = `high` where H(q) > H(p), else `low`. BDKD.

    Amara et al., 2022. The entropies H are those of the softened distributions; the weights are constants.
    """
    p, q, s, t = rows.teacher_probability, rows.student_probability, rows.teacher_log, rows.student_log
    delta = rows.relative - rows.shift
    close = ~(rows.no_student | rows.no_teacher) & (jnp.abs(delta) < 0.5)
    # H(p) − H(q), where both nearly agree without subtracting two entropies
    apart = jnp.where(close, -exp_difference(q, p, delta) * s - q * delta, q * t - p * s).sum(-1)
    # entropies too small for the type differ as their logarithms do
    small_apart = _log_small_entropy(s, rows.no_teacher) - _log_small_entropy(t, rows.no_student)
    apart = jnp.where(apart == 0, small_apart, apart)
    return _weighted_kl(rows, jnp.where(apart > 0, high.value, low.value), jnp.where(apart < 0, high.value, low.value))


def _log_small_entropy(logs: jax.Array, missing: jax.Array) -> jax.Array:
    """log of the entropy of a distribution that is all but certain, from its log-probabilities."""
    certain = logs == jnp.where(missing, -jnp.inf, logs).max(-1, keepdims=True)
    # the certain class's share, −log(1 − x) ≈ x with x the others' probability, is the 1
    return jax.nn.logsumexp(jnp.where(missing | certain, -jnp.inf, logs + jnp.log1p(-logs)), axis=-1)


def _weighted_kl(rows: Rows, forward: Any, reverse: Any) -> TermsAndSlopes:
    """forward · KL(p‖q) + reverse · KL(q‖p); a divergence of weight 0 is left out even where it is infinite."""
    (terms, slopes), (reverse_terms, reverse_slopes) = ab_rows_at(rows, 1.0, 0.0), ab_rows_at(rows, 0.0, 1.0)
    value, reverse_value = terms.sum(-1), reverse_terms.sum(-1)
    values = jnp.where(forward == 0, 0, forward * value) + jnp.where(reverse == 0, 0, reverse * reverse_value)
    forward, reverse = jnp.asarray(forward)[..., None], jnp.asarray(reverse)[..., None]
    # each row's terms are added up before they are weighed: one rounding less
    return values[..., None], forward * slopes + reverse * reverse_slopes


def _centred(rows: Rows) -> tuple[jax.Array, jax.Array]:
    """A log-ratio near that of the student's top class (one a row), and δ relative to it."""
    top = rows.top_log_ratio
    centre = jnp.maximum(top, _LOWEST_CENTRE)
    alone = jnp.where(rows.no_teacher, 0, rows.log_ratio - centre)  # beside a top class that the teacher forbids
    return centre, jnp.where(rows.top_valid, rows.from_top + (top - centre), alone)
