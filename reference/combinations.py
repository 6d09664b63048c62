"""Points and combinations of the α-β family under their usual names, in float64 NumPy.

Each is evaluated by `reference.divergences.ab_divergence_and_gradient` and shares its arguments, masks, −inf, NaN and
reductions; each returns the value and the gradient of the reduced value.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_not_negative, check_real, check_reduction, check_share
from reference.compensated import exp
from reference.distributions import distributions, evaluate_rows
from reference.divergences import ab_divergence_and_gradient
from reference.mixtures import absolute_differences

Result = tuple[NDArray | np.float64, NDArray]


def forward_kl_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """KL(p‖q) = D_AB(1, 0)."""
    return ab_divergence_and_gradient(student_logits, teacher_logits, 1.0, 0.0, **options)


def reverse_kl_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """KL(q‖p) = D_AB(0, 1)."""
    return ab_divergence_and_gradient(student_logits, teacher_logits, 0.0, 1.0, **options)


def alpha_divergence_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, alpha: float, **options: Any) -> Result:
    """D_AB(α, 1 − α) = (1 − Σ p^α q^(1−α)) / (α (1 − α)).

    That is Amari's 4/(1 − a²) (1 − Σ p^((1−a)/2) q^((1+a)/2)) at a = 1 − 2α, with factor 1. Tsallis' relative entropy
    of order α is α times it, and Rényi's is ln(1 − α (1 − α) D)/(α − 1).
    """
    beta = 1.0 - check_real("alpha", alpha)
    # α + β must be exactly 1: what 1 − α rounds off would show in gradients that nearly vanish
    return ab_divergence_and_gradient(student_logits, teacher_logits, 1.0 - beta, beta, **options)


def beta_divergence_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, beta: float, **options: Any) -> Result:
    """D_AB(1, β).

    Basu's density power divergence Σ [q^(1+β) − (1 + 1/β) p q^β + p^(1+β)/β] is 1 + β times it. With b = 1 + β it is,
    with factor 1, the β-divergence Σ [p^b/(b (b−1)) + q^b/b − p q^(b−1)/(b−1)] of Cichocki and Amari.
    """
    return ab_divergence_and_gradient(student_logits, teacher_logits, 1.0, check_real("beta", beta), **options)


def squared_hellinger_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """½ Σ (√p − √q)² = D_AB(½, ½)/4."""
    value, gradient = ab_divergence_and_gradient(student_logits, teacher_logits, 0.5, 0.5, **options)
    return value / 4, gradient / 4


def squared_euclidean_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """½ Σ (p − q)² = D_AB(1, 1)."""
    return ab_divergence_and_gradient(student_logits, teacher_logits, 1.0, 1.0, **options)


def weighted_sum_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, weight: float = 0.5, **options: Any
) -> Result:
    """(1 − w) KL(p‖q) + w KL(q‖p) with w = `weight`, 0 < w < 1."""
    weight = check_share("weight", weight)
    return _weighted_kls(lambda student, teacher, temperature: (1 - weight, weight), student_logits, teacher_logits, **options)


def adaptive_kl_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, head: float = 0.5, **options: Any) -> Result:
    """AKL: w KL(p‖q) + (1 − w) KL(q‖p), w the share of Σ |p − q| in the teacher's head (½ where p = q), held constant.

    The head is the classes by falling p, the lower index first where equal, while their sum is at most `head`, and
    always the first one. Source: Wu et al., "Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large
    Language Models", COLING 2025 (arXiv 2404.02657).
    """
    head = check_share("head", head)

    def weights(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        share = head_share(student, teacher, temperature, head)
        return share, 1 - share

    return _weighted_kls(weights, student_logits, teacher_logits, **options)


def bidirectional_kl_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, low: float = 1.0, high: float = 3.0, **options: Any
) -> Result:
    """BDKD: w_T KL(p‖q) + w_S KL(q‖p); w_T = `high` where H(p) > H(q), w_S = `high` where H(q) > H(p), else `low`."""
    low, high = check_not_negative("low", low), check_not_negative("high", high)

    def weights(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        of_teacher, of_student = entropies(student, teacher, temperature)
        return np.where(of_teacher > of_student, high, low), np.where(of_student > of_teacher, high, low)

    return _weighted_kls(weights, student_logits, teacher_logits, **options)


def alphanet_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    alpha_min: float = 0.2,
    alpha_max: float = 0.8,
    *,
    reduction: str = "mean",
    **options: Any,
) -> Result:
    """The larger of D_AB(a, 1 − a) at a = `alpha_min` and a = `alpha_max`, the first where equal.

    Means (or sums) over the rows are compared; with reduction "none" each row's two values, as in the original: Wang et
    al., AlphaNet, ICML 2021 (arXiv 2102.07954).
    """
    first, second = (
        alpha_divergence_and_gradient(student_logits, teacher_logits, check_real(name, alpha), reduction=reduction, **options)
        for name, alpha in (("alpha_min", alpha_min), ("alpha_max", alpha_max))
    )
    larger = np.asarray(second[0] > first[0])
    if check_reduction(reduction) != "none":
        return second if larger else first
    return np.where(larger, second[0], first[0]), np.where(larger[..., None], second[1], first[1])


def head_share(student: NDArray, teacher: NDArray, temperature: float, head: float) -> NDArray:
    """The share [N] of Σ |p − q| that lies in the teacher's head."""
    row = distributions(student, teacher, temperature)
    order = np.argsort(-teacher, axis=-1, kind="stable")
    inside = np.cumsum(np.take_along_axis(_probabilities(row.log_p, row.both | row.teacher_only), order, -1), -1) <= head
    inside[..., 0] = True
    gaps = absolute_differences(row)
    total = gaps.sum(axis=-1)
    share = np.where(inside, np.take_along_axis(gaps, order, axis=-1), 0.0).sum(axis=-1)
    return np.where(total > 0, share / np.where(total > 0, total, 1.0), 0.5)


def entropies(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
    """H(p) and H(q) [N] in nats."""
    row = distributions(student, teacher, temperature)
    logs = ((row.log_p, row.both | row.teacher_only), (row.log_q, row.both | row.student_only))
    of_teacher, of_student = (-(_probabilities(log, allowed) * log.high).sum(axis=-1) for log, allowed in logs)
    return of_teacher, of_student


def _probabilities(log: Any, allowed: NDArray) -> NDArray:
    return np.where(allowed, exp(log), 0.0)


def _weighted_kls(shares: Any, student_logits: ArrayLike, teacher_logits: ArrayLike, **options: Any) -> Result:
    """Σ of w · KL over both directions, `shares` giving the two constants of each row; a share of 0 leaves it out."""

    def rows(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
        value, gradient = np.zeros(len(student)), np.zeros_like(student)
        for share, alpha in zip(shares(student, teacher, temperature), (1.0, 0.0), strict=True):
            share = np.broadcast_to(share, value.shape)
            added, slope = ab_divergence_and_gradient(
                student, teacher, alpha, 1.0 - alpha, temperature=temperature, reduction="none"
            )
            value = value + np.where(share == 0, 0.0, share * added)
            gradient = gradient + np.where(share[:, None] == 0, 0.0, share[:, None] * slope)
        return value, gradient

    return evaluate_rows(rows, student_logits, teacher_logits, **options)
