"""The divergences that distillation methods use, besides `ab_divergence`; p is the teacher, q the student.

Arguments, conventions (−inf, NaN, masks), results and errors are those of `ab_divergence`; a divergence's own parameters
come after the logits. Points of the α-β family are computed by it. Each of the others is one row function under
`row_divergence`: for D = Σ q f(p/q) with f(1) = f′(1) = 0 it gives each class's q f(x) ≥ 0, so that nothing cancels
where p and q nearly agree, and its slope q_k [φ(x_k) − φ(x_j)], where φ(x) = x f′(x) − f(x), x = p/q = e^δ, and j is the
student's most likely class.
"""

from collections.abc import Sequence
from typing import Any

import torch

from ...common.arguments import check_fraction, check_not_negative
from ...common.definition import Parameter
from .alpha_beta import ab_divergence, ab_rows
from .definition import TermsAndSlopes, row_divergence
from .differentiable import check_arguments, evaluate
from .execution import DEFINITIONS
from .mixtures import Centre, decay_and_complement, exp_remainder, gap, larger_term, mixture_terms, smaller_term
from .operands import constant, farthest, pack
from .rows import Rows, compare_rows, with_absent_far

# ------------------------------------------------------------------------------------------ points of the α-β family


def forward_kl(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Kullback-Leibler divergence KL(p‖q) = Σ p log(p/q) = D_AB(1, 0), of teacher to student.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015 (without its factor temperature²).
    """
    return ab_divergence(
        student_logits, teacher_logits, 1.0, 0.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def reverse_kl(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Reverse Kullback-Leibler divergence KL(q‖p) = Σ q log(q/p) = D_AB(0, 1), of student to teacher.

    Source: Gu et al., "MiniLLM", ICLR 2024.
    """
    return ab_divergence(
        student_logits, teacher_logits, 0.0, 1.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def alpha_divergence(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    alpha: float,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """α-divergence D_AB(α, 1−α) = (1 − Σ p^α q^(1−α)) / (α(1−α)); KL(p‖q) at α = 1, KL(q‖p) at α = 0.

    It is Amari's divergence of parameter ±(1−2α), with factor 1. With D = D_AB(α, 1−α), Rényi's divergence of order α
    is log(1 − α(1−α) D) / (α−1), and Tsallis' relative entropy is α D.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like temperature, mask, weights and reduction.
        alpha: any finite real number.

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    alpha = constant("alpha", alpha)
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
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    beta: float,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """β-divergence D_AB(1, β) = Σ [p^(1+β)/(β(1+β)) − p q^β/β + q^(1+β)/(1+β)]; KL(p‖q) at β = 0.

    The density power divergence of Basu et al. (1998) is (1+β) times this; the β-divergence of Cichocki & Amari (2010)
    of order 1+β is this.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like temperature, mask, weights and reduction.
        beta: any finite real number.

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    return ab_divergence(
        student_logits, teacher_logits, 1.0, beta, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def squared_hellinger(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Squared Hellinger distance ½ Σ (√p − √q)² = D_AB(½, ½)/4.

    Source: Wang et al., "ABKD", ICML 2025, Table 1, which leaves the factor 4 out.
    """
    student, teacher, weight = check_arguments(student_logits, teacher_logits, mask, weights, reduction)
    return evaluate("squared_hellinger", student, teacher, pack(0.5, 0.5, temperature), weight, reduction)


def _quarter_of_ab(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The factor before the gradient is rounded to a narrow type."""
    terms, slopes = ab_rows(*arguments)
    return terms / 4, None if slopes is None else slopes / 4


DEFINITIONS["squared_hellinger"] = DEFINITIONS["ab_divergence"]._replace(classes=_quarter_of_ab)


def squared_euclidean(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Half the squared Euclidean distance ½ Σ (p − q)² = D_AB(1, 1).

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    return ab_divergence(
        student_logits, teacher_logits, 1.0, 1.0, temperature=temperature, mask=mask, weights=weights, reduction=reduction
    )


def alphanet(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    alpha_min: float = 0.2,
    alpha_max: float = 0.8,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """The larger of two α-divergences, of D_AB(a, 1−a) and D_AB(b, 1−b).

    With reduction "mean" or "sum" it is the larger of the two means or sums, with "none" the larger one of each row,
    which is the original.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like temperature, mask and weights.
        alpha_min, alpha_max: a and b, any finite real numbers.
        reduction: "mean", "sum" or "none".

    Source: Wang et al., "AlphaNet", ICML 2021; of means: Wang et al., "ABKD", ICML 2025.
    """
    alphas = constant("alpha_min", alpha_min), constant("alpha_max", alpha_max)
    first, second = (
        alpha_divergence(
            student_logits, teacher_logits, alpha, temperature=temperature, mask=mask, weights=weights, reduction=reduction
        )
        for alpha in alphas
    )
    return torch.where(second > first, second, first)


# --------------------------------------------------------------------------------------------- Kullback-Leibler pairs


def _weighted_kl(rows: Rows, forward: torch.Tensor, reverse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """forward · KL(p‖q) + reverse · KL(q‖p), with weights of the whole batch or of each row `[rows, 1]`; 0 · ∞ is 0."""
    up = rows.log_ratio > 0
    decay, complement = decay_and_complement(rows.log_ratio)
    w = rows.log_ratio.abs()
    larger, smaller = larger_term(w, complement), smaller_term(w, complement, decay)
    size = torch.exp(torch.maximum(rows.teacher_log, rows.student_log))
    to_student, to_teacher = size * torch.where(up, larger, smaller), size * torch.where(up, smaller, larger)
    # where the teacher forbids the top class, its infinite slope is left out: centre at p = q
    top = torch.where(rows.top_relative == -torch.inf, rows.shift, rows.top_relative)
    rise, slope_reverse = rows.relative - top, rows.relative - top
    if rows.no_student is not None and rows.no_teacher is not None:
        to_student = torch.where(rows.no_student & ~rows.no_teacher, torch.inf, to_student)
        to_teacher = torch.where(rows.no_teacher & ~rows.no_student, torch.inf, to_teacher)
        slope_reverse = torch.where(rows.no_teacher, rows.shift - top, rise)
    terms = torch.where(forward == 0, 0.0, forward * to_student) + torch.where(reverse == 0, 0.0, reverse * to_teacher)
    _, risen = decay_and_complement(rise)
    slope_forward = torch.exp(torch.where(rise > 0, rows.teacher_log, rows.student_log + (top - rows.shift))) * risen
    slope_forward = torch.where(rise > 0, slope_forward, -slope_forward)
    return terms, forward * slope_forward + reverse * (rows.student_probability * slope_reverse)


@row_divergence(weight=check_fraction)
def weighted_sum(rows: Rows, weight: Parameter = 0.5) -> TermsAndSlopes:
    """Weighted sum (1−w) KL(p‖q) + w KL(q‖p) of the Kullback-Leibler divergences (WSD).

    Source: Wang et al., "ABKD", ICML 2025.

    Parameters:
        weight: w, between 0 and 1.
    """
    return _weighted_kl(rows, weight.rest, weight.value)


def _double_rows(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> tuple[Rows, torch.Tensor]:
    """Rows in float64, absent classes far away, and |p − q|: what decides a switch must not be rounding."""
    far = farthest(torch.float64)
    rows = with_absent_far(compare_rows(student.double(), teacher.double(), 1 / temperature, far, finite=False)[0])
    return rows, gap(rows)


def _head_and_tail(
    student: torch.Tensor, teacher: torch.Tensor, parameters: Sequence[float], temperature: float
) -> torch.Tensor:
    """The head's and the tail's share of Σ|p − q| `[rows, 2]`; ½ each where p = q."""
    rows, sizes = _double_rows(student, teacher, temperature)
    order = teacher.double().sort(dim=-1, descending=True, stable=True).indices
    # integers add up exactly, in any order, on any device
    chances = (torch.exp(rows.teacher_log).gather(-1, order) * 2.0**53).nan_to_num(0.0).round().long()
    inside = chances.cumsum(-1) <= parameters[0] * 2.0**53
    inside[:, 0] = True
    total = sizes.sum(-1)
    share = torch.where(inside, sizes.gather(-1, order), 0.0).sum(-1) / total
    rest = torch.where(inside, 0.0, sizes.gather(-1, order)).sum(-1) / total
    return torch.where(total[:, None] == 0, 0.5, torch.stack([share, rest], -1))


@row_divergence(row_parameters=_head_and_tail, head=check_fraction)
def adaptive_kl(
    rows: Rows, head: Parameter = 0.5, in_head: torch.Tensor = None, in_tail: torch.Tensor = None
) -> TermsAndSlopes:
    """Adaptive Kullback-Leibler divergence w KL(p‖q) + (1−w) KL(q‖p) (AKL), w without gradient.

    w is the head's share of Σ|p − q|, ½ where p = q. The head are the teacher's most likely classes, as long as their
    probabilities add up to `head` at most, the most likely one always; among equals the lower index comes first.

    Source: Wu et al., "Rethinking Kullback-Leibler Divergence in Knowledge Distillation for LLMs", 2024.

    Parameters:
        head: probability of the head, between 0 and 1.
    """
    return _weighted_kl(rows, in_head, in_tail)


def _by_entropy(student: torch.Tensor, teacher: torch.Tensor, parameters: Sequence[float], temperature: float) -> torch.Tensor:
    """The weights of KL(p‖q) and KL(q‖p) `[rows, 2]`: `high` for the side of the larger entropy, `low` otherwise."""
    of_teacher, of_student = (_entropy(logits.double(), temperature) for logits in (teacher, student))
    low, high = parameters
    sides = torch.stack([of_teacher > of_student, of_student > of_teacher], -1)
    return low + (high - low) * sides.double()


def _entropy(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Entropy of each row, also where one class holds nearly everything: what the others hold is added up alone."""
    largest = logits.amax(-1, keepdim=True)
    below = logits / temperature - largest / temperature
    below = torch.where(below.isnan(), (logits - largest) / temperature, below)  # inf − inf, where the quotients overflow
    weights = torch.exp(below)
    is_top = below == 0
    others = torch.where(is_top, 0.0, weights).sum(-1) + (is_top.sum(-1) - 1)
    spread = torch.where(weights == 0, 0.0, weights * below).sum(-1)
    return torch.log1p(others) - spread / (1 + others)


@row_divergence(row_parameters=_by_entropy, low=check_not_negative, high=check_not_negative)
def bidirectional_kl(
    rows: Rows, low: Parameter = 1.0, high: Parameter = 3.0, to_student: torch.Tensor = None, to_teacher: torch.Tensor = None
) -> TermsAndSlopes:
    """Bidirectional Kullback-Leibler divergence w_T KL(p‖q) + w_S KL(q‖p) (BDKD), weights without gradient.

    w_T is `high` in rows where the teacher's entropy is greater than the student's, w_S where it is smaller; else they
    are `low`.

    Source: BDKD, as in Wang et al., "ABKD", ICML 2025.

    Parameters:
        low, high: the weights, 0 or greater.
    """
    return _weighted_kl(rows, to_student, to_teacher)


# ----------------------------------------------------------------------------------------------- towards the mixture


@row_divergence(weight=check_fraction)
def jensen_shannon(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """Generalised Jensen-Shannon divergence λ KL(q‖m) + (1−λ) KL(p‖m), m = (1−λ) p + λ q.

    Source: Agarwal et al., "On-Policy Distillation of Language Models" (GKD), ICLR 2024; other libraries call 1−λ β.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_student, of_teacher = weight
    terms = mixture_terms(rows, of_teacher, of_student)
    # φ = λ log(m/q)
    log_ratio, *_ = Centre.of(rows).log_mixture(of_teacher, of_student)
    return of_student * terms.of_q + of_teacher * terms.of_p, of_student * rows.student_probability * log_ratio


@row_divergence(weight=check_fraction)
def skewed_forward_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """Skewed Kullback-Leibler divergence KL(p‖m), m = λ p + (1−λ) q.

    Source: Ko et al., "DistiLLM", ICML 2024.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_teacher, of_student = weight
    terms = mixture_terms(rows, of_teacher, of_student)
    # φ = (1−λ) x q/m = (1−λ)/λ (1 − (1−λ) q/m)
    centre = Centre.of(rows)
    _, change, _, rest = centre.log_mixture(of_teacher, of_student)
    return terms.of_p, rows.student_probability * change * (of_student / of_teacher * rest)


@row_divergence(weight=check_fraction)
def skewed_reverse_kl(rows: Rows, weight: Parameter = 0.1) -> TermsAndSlopes:
    """Skewed reverse Kullback-Leibler divergence KL(q‖m), m = (1−λ) p + λ q.

    Source: Ko et al., "DistiLLM", ICML 2024.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_student, of_teacher = weight
    terms = mixture_terms(rows, of_teacher, of_student)
    # φ = log(m/q) + λ q/m: with ρ = log(m/q) − log(m_j/q_j) and b = λ q_j/m_j, (1−b) ρ + b (e^(−ρ) − 1 + ρ)
    centre = Centre.of(rows)
    log_ratio, change, share, rest = centre.log_mixture(of_teacher, of_student)
    slope = share * log_ratio + rest * exp_remainder(-log_ratio, -change)
    return terms.of_q, rows.student_probability * slope


@row_divergence()
def total_variation(rows: Rows) -> TermsAndSlopes:
    """Total variation distance ½ Σ |p − q|. Its derivative is taken to be 0 at a class with p = q.

    Source: Wen et al., "f-Divergence Minimization for Sequence-Level Knowledge Distillation", ACL 2023.
    """
    sign = torch.sign(rows.log_ratio) - torch.sign(rows.top_log_ratio)
    return gap(rows) / 2, rows.student_probability * sign / 2
