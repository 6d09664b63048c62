"""Divergences to a mixture of teacher and student, and the total variation, in float64 NumPy.

With δ = ln(p/q) and a mixture m = λ·own + (1 − λ)·other, every Kullback-Leibler divergence here is a sum of terms that
are not negative, so that nothing cancels between nearly equal distributions:

    KL(own‖m) = Σ own · φ((1 − λ)(other/own − 1)),   φ(u) = u − ln(1 + u)

(Σ (m − own) = 0 has been added). Gradients: with h = −∂D/∂(ln q) = q·η(δ), ∂D/∂z_k = q_k (Σ_i q_i d_i − d_k) / T, where
d_k = η(δ_k) − η(δ_j) to the student's most probable class j is computed from δ_k − δ_j, which is exact.

Arguments, masks, −inf, NaN and reductions are those of `reference.divergences.ab_divergence`; each function returns the
value and the gradient of the reduced value.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference import compensated
from reference.accurate import log1p_gap
from reference.arguments import check_share
from reference.distributions import Row, distributions, evaluate_rows, take_class

# Beyond this ln(other/own) the term is written with other − own, so that nothing overflows.
_FAR = 30.0

Result = tuple[NDArray | np.float64, NDArray]


def jensen_shannon_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, weight: float = 0.1, **options: Any
) -> Result:
    """Generalised Jensen-Shannon divergence λ KL(q‖m) + (1 − λ) KL(p‖m), m = (1 − λ) p + λ q, with λ = `weight`.

    Source: Agarwal et al., GKD, ICLR 2024 (arXiv 2306.13649), whose β is 1 − λ in some libraries.
    """
    weight = check_share("weight", weight)

    def rows(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        row = distributions(student, teacher, temperature)
        p, gap = _p(row), _gap(row)
        value = weight * _to_mixture(row.q, p, gap, weight) + (1 - weight) * _to_mixture(p, row.q, -gap, 1 - weight)
        return value, _gradient(row, weight * _log_ratio_rise(row, weight)) / temperature

    return evaluate_rows(rows, student_logits, teacher_logits, **options)


def skewed_forward_kl_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, weight: float = 0.1, **options: Any
) -> Result:
    """Skewed forward KL: KL(p‖λ p + (1 − λ) q) with λ = `weight`. Source: Ko et al., DistiLLM, ICML 2024."""
    weight = check_share("weight", weight)

    def rows(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        row = distributions(student, teacher, temperature)
        value = _to_mixture(_p(row), row.q, -_gap(row), weight)
        return value, _gradient(row, _bounded_rise(row, weight)) / temperature

    return evaluate_rows(rows, student_logits, teacher_logits, **options)


def skewed_reverse_kl_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, weight: float = 0.1, **options: Any
) -> Result:
    """Skewed reverse KL: KL(q‖(1 − λ) p + λ q) with λ = `weight`. Source: Ko et al., DistiLLM, ICML 2024."""
    weight = check_share("weight", weight)

    def rows(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        row = distributions(student, teacher, temperature)
        value = _to_mixture(row.q, _p(row), _gap(row), weight)
        return value, _gradient(row, _skewed_rise(row, weight)) / temperature

    return evaluate_rows(rows, student_logits, teacher_logits, **options)


def total_variation_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """Total variation ½ Σ |p − q|; a class with p = q adds nothing to the gradient."""
    return evaluate_rows(_total_variation, student_logits, teacher_logits, **options)


def _total_variation(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
    row = distributions(student, teacher, temperature)
    gap = _gap(row)
    value = absolute_differences(row).sum(axis=-1) / 2
    # ∂D/∂z_k = q_k (σ_k' − Σ_i q_i σ_i')/2 with σ' = sign(q − p); Σ q over each sign keeps small numbers apart
    below, above, equal = (np.where(where, row.q, 0.0).sum(axis=-1, keepdims=True) for where in (gap > 0, gap < 0, gap == 0))
    pull = np.where(gap > 0, -(above + equal / 2), np.where(gap < 0, below + equal / 2, (below - above) / 2))
    return value, row.q * pull / temperature


def absolute_differences(row: Row) -> NDArray:
    """|p − q| [N, C], relatively accurate where p and q nearly agree."""
    gap = _gap(row)
    return np.where(gap > 0, _p(row), row.q) * -np.expm1(-np.abs(gap))


def _p(row: Row) -> NDArray:
    return np.where(row.both | row.teacher_only, compensated.exp(row.log_p), 0.0)


def _gap(row: Row) -> NDArray:
    """δ = ln(p/q) [N, C], ±inf where one side forbids the class, 0 where both do."""
    gap = np.where(row.both, row.delta.high + row.delta.low, 0.0)
    return np.where(row.student_only, -np.inf, np.where(row.teacher_only, np.inf, gap))


def _to_mixture(own: NDArray, other: NDArray, gap: NDArray, weight: float) -> NDArray:
    """KL(own‖m) [N], m = weight · own + (1 − weight) · other, gap = ln(other/own)."""
    near = own * log1p_gap((1 - weight) * np.expm1(np.minimum(gap, _FAR)))
    logarithm = np.where(own > 0, own * _log_ratio(np.maximum(gap, _FAR), weight), 0.0)
    far = (1 - weight) * (other - own) - logarithm
    return np.where(gap < _FAR, near, far).sum(axis=-1)


def _log_ratio(gap: NDArray, weight: float) -> NDArray:
    """L = ln(m/own) = ln(weight + (1 − weight) e^gap)."""
    away = np.exp(-np.abs(gap))
    more, less = np.where(gap > 0, 1.0, away), np.where(gap > 0, away, 1.0)
    plain = np.maximum(gap, 0.0) + np.log((1 - weight) * more + weight * less)
    # near ln 1 = 0 from how far from 1 it is
    change = (1 - weight) * np.expm1(np.minimum(gap, 1.0))
    return np.where((gap < 1.0) & (change > -0.5), np.log1p(np.maximum(change, -0.5)), plain)


def _rise(row: Row) -> NDArray:
    """δ_k − δ_j to the student's top class j: the log-partitions, which are the same for both, are left out."""
    apart = compensated.subtract(row.relative_delta, take_class(row.relative_delta, row.top_class))
    rise = apart.high + apart.low
    alone = np.take_along_axis(row.student_only, row.top_class, axis=-1)
    rise = np.where(alone, np.inf, np.where(row.student_only, -np.inf, rise))
    return np.where(row.student_only & alone, 0.0, rise)


def _shares(gap: NDArray, weight: float) -> tuple[NDArray, NDArray]:
    """The shares of p's part (1 − weight) p and of q's part weight · q in their mixture."""
    away = np.exp(-np.abs(gap))
    more, less = np.where(gap >= 0, 1.0, away), np.where(gap >= 0, away, 1.0)  # p : q
    total = (1 - weight) * more + weight * less
    return (1 - weight) * more / total, weight * less / total


def _mixture_growth(row: Row, weight: float) -> NDArray:
    """(m/q)_k / (m/q)_j − 1 with m = (1 − weight) p + weight q, j the student's top class."""
    gap = _gap(row)
    gap_j = np.take_along_axis(gap, row.top_class, axis=-1)
    growth = _shares(gap_j, weight)[0] * np.expm1(_rise(row))
    return np.where(np.isneginf(gap_j), (1 - weight) / weight * np.exp(gap), growth)


def _log_ratio_rise(row: Row, weight: float) -> NDArray:
    """L_k − L_j, L = ln(m/q)."""
    gap, growth = _gap(row), _mixture_growth(row, weight)
    ratio = _log_ratio(gap, weight)
    direct = ratio - np.take_along_axis(ratio, row.top_class, axis=-1)
    return np.where((growth > -0.5) & (growth < 1e8), np.log1p(np.maximum(growth, -0.5)), direct)


def _skewed_rise(row: Row, weight: float) -> NDArray:
    """η_k − η_j of the skewed reverse KL: η = L + weight q/m."""
    growth = _mixture_growth(row, weight)
    teacher, student = _shares(_gap(row), weight)
    teacher_j, student_j = (np.take_along_axis(x, row.top_class, axis=-1) for x in (teacher, student))
    far = _log_ratio_rise(row, weight) + (student - student_j)
    # ln(1 + ρ) − (1 − r) ρ/(1 + ρ), r the teacher's share at j, as a sum that hardly cancels
    small = np.abs(growth) < 0.5
    part = np.where(small, growth / (1 + growth), 0.0)
    return np.where(small, log1p_gap(-part) + teacher_j * part, far)


def _bounded_rise(row: Row, weight: float) -> NDArray:
    """η_k − η_j of the skewed forward KL: η = (1 − λ) p/m, m = λ p + (1 − λ) q, so that 0 ≤ η ≤ (1 − λ)/λ."""
    gap, rise = _gap(row), _rise(row)
    student, teacher = _shares(-gap, weight)  # (1 − λ) q/m and λ p/m
    student_j, teacher_j = (np.take_along_axis(x, row.top_class, axis=-1) for x in (student, teacher))
    up = teacher * student_j * -np.expm1(-np.maximum(rise, 0.0))
    down = teacher_j * student * np.expm1(np.minimum(rise, 0.0))
    return (1 - weight) / weight * np.where(rise >= 0, up, down)


def _gradient(row: Row, rise: NDArray) -> NDArray:
    """q_k (Σ_i q_i d_i − d_k); 0 where the student forbids the class."""
    rise = np.where(row.both | row.student_only, rise, 0.0)
    return row.q * ((row.q * rise).sum(axis=-1, keepdims=True) - rise)
