"""The divergences that distillation methods use, besides `ab_divergence`; p is the teacher, q the student.

Those that are points of the α-β family are computed by `ab_divergence`. Each of the others is one row function under
`divergence`, which makes it a differentiable function of logits with the common arguments. The row function takes rows
prepared by `with_absent_far` and gives, for D = Σ q f(p/q) with f(1) = f′(1) = 0, each class's q f(x) ≥ 0 and its slope
q_k [φ(x_k) − φ(x_j)], where φ(x) = x f′(x) − f(x) and j is the student's most likely class.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ...common.arguments import check_fraction, check_not_negative, check_number
from .alpha_beta import ab_divergence
from .differentiable import evaluate
from .kernel import ab_classes
from .mixtures import Centre, decay_and_complement, exp_remainder, larger_term, mixture_terms, smaller_term
from .rows import DEFINITIONS, Definition, Rows, compare_rows, with_absent_far

_COMMON = """
    Args:
        student_logits: `[..., C]`, float64, float32, bfloat16 or float16; −inf marks a class of probability 0.
        teacher_logits: the same shape; a constant, no gradient reaches it.
        {parameters}temperature: divides both sets of logits, > 0. There is no factor temperature².
        mask: `[...]`, bool; True selects a row. Rows left out never reach value or gradient, whatever they hold.
        reduction: "mean" over selected rows, "sum", or "none" (`[...]`, 0 for rows left out).

    Returns:
        The divergence in float64 for float64 students, else float32; an empty selection gives 0, a row with NaN, +inf
        or no finite logit NaN. Never negative, 0 exactly if both distributions are the same. Differentiable once.

    Raises:
        ValueError: shapes, reduction, temperature or a parameter that is not allowed.
        TypeError: logits that are not floating point.
    """


class _Pattern(NamedTuple):
    finite: bool = False


def _prepare(parameters: Sequence[float], temperature: float, dtype: torch.dtype) -> tuple[list[float], _Pattern]:
    """1/temperature, then each parameter and what it lacks to 1, which would lose digits as a float32 difference."""
    return [1 / temperature, *(x for parameter in parameters for x in (parameter, 1 - parameter))], _Pattern()


def divergence(
    *, row_parameters: Callable[..., torch.Tensor] | None = None, **checks: Callable[[str, float], float]
) -> Callable[[Callable[..., tuple[torch.Tensor, torch.Tensor]]], Callable[..., torch.Tensor]]:
    """Make a row function the divergence of its name.

    Args:
        row_parameters: (student, teacher, parameters, temperature) -> `[rows, n]`, numbers held constant that depend on
            the logits; the row function gets them after its parameters, as n tensors `[rows, 1]`.
        checks: for each parameter, the check of `backends.common.arguments` that it must pass.

    The decorated function takes (rows, *parameters) and returns terms and slopes; a parameter arrives as the pair
    (parameter, 1 − parameter). Its defaults are the divergence's; its docstring gets the common arguments appended.
    """

    def define(row_function: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., torch.Tensor]:
        name, names = row_function.__name__, tuple(checks)
        own = [p for p in inspect.signature(row_function).parameters.values() if p.name in checks]
        defaults = {p.name: p.default for p in own if p.default is not inspect.Parameter.empty}

        def classes(rows: Rows, values: torch.Tensor, numbers: torch.Tensor | None, pattern: Any) -> tuple:
            flat = values[1:].unbind()
            further = () if numbers is None else numbers[..., None].unbind(1)
            return row_function(with_absent_far(rows), *zip(flat[::2], flat[1::2], strict=True), *further)

        DEFINITIONS[name] = Definition(classes, _prepare, row_parameters)

        def function(
            student_logits: torch.Tensor,
            teacher_logits: torch.Tensor,
            *parameters: float,
            temperature: float = 1.0,
            mask: torch.Tensor | None = None,
            reduction: str = "mean",
            **named: float,
        ) -> torch.Tensor:
            given = {**defaults, **dict(zip(names, parameters, strict=False)), **named}
            if len(parameters) > len(names) or len(given) != len(names):
                raise TypeError(f"{name} takes the parameters ({', '.join(names)}); it got {parameters} and {named}")
            checked = [checks[key](key, given[key]) for key in names]
            return evaluate(
                name, checked, student_logits, teacher_logits, temperature=temperature, mask=mask, reduction=reduction
            )

        return _described(function, row_function, own)

    return define


def _described(function: Callable, row_function: Callable, own: list[inspect.Parameter]) -> Callable[..., torch.Tensor]:
    """Give the public function the name, the documentation and the signature of the divergence."""
    function.__name__ = function.__qualname__ = row_function.__name__
    function.__module__ = row_function.__module__
    summary, _, listed = inspect.cleandoc(row_function.__doc__ or "").partition("\n\nParameters:\n")
    lines = "".join(f"{line.strip()}\n    " for line in listed.splitlines())
    function.__doc__ = summary + "\n\n" + inspect.cleandoc(_COMMON).format(parameters=lines)
    common = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    own = [p.replace(kind=p.POSITIONAL_OR_KEYWORD, annotation=float) for p in own]
    function.__signature__ = inspect.Signature([*common[:2], *own, *common[3:]], return_annotation=torch.Tensor)
    return function


# ------------------------------------------------------------------------------------------ points of the α-β family


def forward_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, **common: Any) -> torch.Tensor:
    """Kullback-Leibler divergence KL(p‖q) = Σ p log(p/q) = D_AB(1, 0), of teacher to student.

    Arguments `temperature`, `mask`, `reduction`, returns and errors as in `ab_divergence`.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015 (without its factor temperature²).
    """
    return ab_divergence(student_logits, teacher_logits, 1.0, 0.0, **common)


def reverse_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, **common: Any) -> torch.Tensor:
    """Reverse Kullback-Leibler divergence KL(q‖p) = Σ q log(q/p) = D_AB(0, 1), of student to teacher.

    Arguments `temperature`, `mask`, `reduction`, returns and errors as in `ab_divergence`.

    Source: Gu et al., "MiniLLM", ICLR 2024.
    """
    return ab_divergence(student_logits, teacher_logits, 0.0, 1.0, **common)


def alpha_divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor, alpha: float, **common: Any) -> torch.Tensor:
    """α-divergence D_AB(α, 1−α) = (1 − Σ p^α q^(1−α)) / (α(1−α)); KL(p‖q) at α = 1, KL(q‖p) at α = 0.

    It is Amari's divergence of parameter ±(1−2α), with factor 1. With D = D_AB(α, 1−α), Rényi's divergence of order α
    is log(1 − α(1−α) D) / (α−1), and Tsallis' relative entropy is α D.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like `temperature`, `mask` and `reduction`.
        alpha: any finite real number.

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    alpha = check_number("alpha", alpha)
    return ab_divergence(student_logits, teacher_logits, alpha, 1 - alpha, **common)


def beta_divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor, beta: float, **common: Any) -> torch.Tensor:
    """β-divergence D_AB(1, β) = Σ [p^(1+β)/(β(1+β)) − p q^β/β + q^(1+β)/(1+β)]; KL(p‖q) at β = 0.

    The density power divergence of Basu et al. (1998) is (1+β) times this; the β-divergence of Cichocki & Amari (2010)
    of order 1+β is this.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like `temperature`, `mask` and `reduction`.
        beta: any finite real number.

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    return ab_divergence(student_logits, teacher_logits, 1.0, beta, **common)


def squared_hellinger(student_logits: torch.Tensor, teacher_logits: torch.Tensor, **common: Any) -> torch.Tensor:
    """Squared Hellinger distance ½ Σ (√p − √q)² = D_AB(½, ½)/4.

    Arguments `temperature`, `mask`, `reduction`, returns and errors as in `ab_divergence`.

    Source: Wang et al., "ABKD", ICML 2025, Table 1, which leaves the factor 4 out.
    """
    return evaluate("squared_hellinger", (0.5, 0.5), student_logits, teacher_logits, **common)


def _quarter_of_ab(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The factor before the gradient is rounded to a narrow type."""
    terms, slopes = ab_classes(*arguments)
    return terms / 4, None if slopes is None else slopes / 4


DEFINITIONS["squared_hellinger"] = DEFINITIONS["ab_divergence"]._replace(classes=_quarter_of_ab)


def squared_euclidean(student_logits: torch.Tensor, teacher_logits: torch.Tensor, **common: Any) -> torch.Tensor:
    """Half the squared Euclidean distance ½ Σ (p − q)² = D_AB(1, 1).

    Arguments `temperature`, `mask`, `reduction`, returns and errors as in `ab_divergence`.

    Source: Wang et al., "ABKD", ICML 2025, Table 1.
    """
    return ab_divergence(student_logits, teacher_logits, 1.0, 1.0, **common)


def alphanet(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    alpha_min: float = 0.2,
    alpha_max: float = 0.8,
    *,
    reduction: str = "mean",
    **common: Any,
) -> torch.Tensor:
    """The larger of two α-divergences, of D_AB(a, 1−a) and D_AB(b, 1−b).

    With reduction "mean" or "sum" it is the larger of the two means or sums, with "none" the larger one of each row,
    which is the original.

    Args:
        student_logits, teacher_logits: `[..., C]`, as in `ab_divergence`, like `temperature` and `mask`.
        alpha_min, alpha_max: a and b, any finite real numbers.
        reduction: "mean", "sum" or "none".

    Source: Wang et al., "AlphaNet", ICML 2021; of means: Wang et al., "ABKD", ICML 2025.
    """
    alphas = check_number("alpha_min", alpha_min), check_number("alpha_max", alpha_max)
    first, second = (alpha_divergence(student_logits, teacher_logits, alpha, reduction=reduction, **common) for alpha in alphas)
    return torch.where(second > first, second, first)


# --------------------------------------------------------------------------------------------- Kullback-Leibler pairs


def _weighted_kl(rows: Rows, forward: torch.Tensor, reverse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """forward · KL(p‖q) + reverse · KL(q‖p), with weights of the whole batch or of each row `[rows, 1]`; 0 · ∞ is 0."""
    up = rows.delta > 0
    decay, complement = decay_and_complement(rows.delta)
    w = rows.delta.abs()
    larger, smaller = larger_term(w, complement), smaller_term(w, complement, decay)
    size = torch.exp(torch.maximum(rows.s, rows.t))
    to_student, to_teacher = size * torch.where(up, larger, smaller), size * torch.where(up, smaller, larger)
    # where the teacher forbids the top class, its infinite slope is left out: centre at p = q
    top = torch.where(rows.top == -torch.inf, rows.shift, rows.top)
    rise, slope_reverse = rows.relative - top, rows.relative - top
    if rows.no_student is not None and rows.no_teacher is not None:
        to_student = torch.where(rows.no_student & ~rows.no_teacher, torch.inf, to_student)
        to_teacher = torch.where(rows.no_teacher & ~rows.no_student, torch.inf, to_teacher)
        slope_reverse = torch.where(rows.no_teacher, rows.shift - top, rise)
    terms = torch.where(forward == 0, 0.0, forward * to_student) + torch.where(reverse == 0, 0.0, reverse * to_teacher)
    _, risen = decay_and_complement(rise)
    slope_forward = torch.exp(torch.where(rise > 0, rows.s, rows.t + (top - rows.shift))) * risen
    slope_forward = torch.where(rise > 0, slope_forward, -slope_forward)
    return terms, forward * slope_forward + reverse * (torch.exp(rows.t) * slope_reverse)


@divergence(weight=check_fraction)
def weighted_sum(rows, weight=0.5):
    """Weighted sum (1−w) KL(p‖q) + w KL(q‖p) of the Kullback-Leibler divergences (WSD).

    Source: Wang et al., "ABKD", ICML 2025.

    Parameters:
        weight: w, between 0 and 1.
    """
    w, rest = weight
    return _weighted_kl(rows, rest, w)


def _double_rows(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> tuple[Rows, torch.Tensor]:
    """Rows in float64, absent classes far away, and p − q by class: what decides a switch must not be rounding."""
    rows = with_absent_far(compare_rows(student.double(), teacher.double(), 1 / temperature, finite=False)[0])
    apart = torch.exp(torch.maximum(rows.s, rows.t)) * decay_and_complement(rows.delta)[1]
    return rows, torch.where(rows.delta > 0, apart, -apart)


def _head_and_tail(
    student: torch.Tensor, teacher: torch.Tensor, parameters: Sequence[float], temperature: float
) -> torch.Tensor:
    """The head's and the tail's share of Σ|p − q| `[rows, 2]`; ½ each where p = q."""
    rows, apart = _double_rows(student, teacher, temperature)
    order = teacher.double().sort(dim=-1, descending=True, stable=True).indices
    # integers add up exactly, in any order, on any device
    chances = (torch.exp(rows.s).gather(-1, order) * 2.0**53).nan_to_num(0.0).round().long()
    inside = chances.cumsum(-1) <= parameters[0] * 2.0**53
    inside[:, 0] = True
    sizes = apart.abs()
    total = sizes.sum(-1)
    share = torch.where(inside, sizes.gather(-1, order), 0.0).sum(-1) / total
    rest = torch.where(inside, 0.0, sizes.gather(-1, order)).sum(-1) / total
    return torch.where(total[:, None] == 0, 0.5, torch.stack([share, rest], -1))


@divergence(row_parameters=_head_and_tail, head=check_fraction)
def adaptive_kl(rows, head=0.5, in_head=None, in_tail=None):
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
    of_teacher, of_student = (_entropy(logits.double() / temperature) for logits in (teacher, student))
    low, high = parameters
    sides = torch.stack([of_teacher > of_student, of_student > of_teacher], -1)
    return low + (high - low) * sides.double()


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of each row, also where one class holds nearly everything: what the others hold is added up alone."""
    below = logits - logits.amax(-1, keepdim=True)
    weights = torch.exp(below)
    is_top = below == 0
    others = torch.where(is_top, 0.0, weights).sum(-1) + (is_top.sum(-1) - 1)
    spread = torch.where(weights == 0, 0.0, weights * below).sum(-1)
    return torch.log1p(others) - spread / (1 + others)


@divergence(row_parameters=_by_entropy, low=check_not_negative, high=check_not_negative)
def bidirectional_kl(rows, low=1.0, high=3.0, to_student=None, to_teacher=None):
    """Bidirectional Kullback-Leibler divergence w_T KL(p‖q) + w_S KL(q‖p) (BDKD), weights without gradient.

    w_T is `high` in rows where the teacher's entropy is greater than the student's, w_S where it is smaller; else they
    are `low`.

    Source: BDKD, as in Wang et al., "ABKD", ICML 2025.

    Parameters:
        low, high: the weights, 0 or greater.
    """
    return _weighted_kl(rows, to_student, to_teacher)


# ----------------------------------------------------------------------------------------------- towards the mixture


@divergence(weight=check_fraction)
def jensen_shannon(rows, weight=0.1):
    """Generalised Jensen-Shannon divergence λ KL(q‖m) + (1−λ) KL(p‖m), m = (1−λ) p + λ q.

    Source: Agarwal et al., "On-Policy Distillation of Language Models" (GKD), ICLR 2024; other libraries call 1−λ β.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_student, of_teacher = weight
    terms = mixture_terms(rows.delta, rows.s, rows.t, of_teacher, of_student)
    # φ = λ log(m/q)
    log_ratio, *_ = Centre.of(rows.relative, rows.shift, rows.top).log_mixture(of_teacher, of_student)
    return of_student * terms.of_q + of_teacher * terms.of_p, of_student * torch.exp(rows.t) * log_ratio


@divergence(weight=check_fraction)
def skewed_forward_kl(rows, weight=0.1):
    """Skewed Kullback-Leibler divergence KL(p‖m), m = λ p + (1−λ) q.

    Source: Ko et al., "DistiLLM", ICML 2024.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_teacher, of_student = weight
    terms = mixture_terms(rows.delta, rows.s, rows.t, of_teacher, of_student)
    # φ = (1−λ) x q/m = (1−λ)/λ (1 − (1−λ) q/m)
    centre = Centre.of(rows.relative, rows.shift, rows.top)
    _, change, _, rest = centre.log_mixture(of_teacher, of_student)
    return terms.of_p, torch.exp(rows.t) * change * (of_student / of_teacher * rest)


@divergence(weight=check_fraction)
def skewed_reverse_kl(rows, weight=0.1):
    """Skewed reverse Kullback-Leibler divergence KL(q‖m), m = (1−λ) p + λ q.

    Source: Ko et al., "DistiLLM", ICML 2024.

    Parameters:
        weight: λ, between 0 and 1.
    """
    of_student, of_teacher = weight
    terms = mixture_terms(rows.delta, rows.s, rows.t, of_teacher, of_student)
    # φ = log(m/q) + λ q/m: with ρ = log(m/q) − log(m_j/q_j) and b = λ q_j/m_j, (1−b) ρ + b (e^(−ρ) − 1 + ρ)
    centre = Centre.of(rows.relative, rows.shift, rows.top)
    log_ratio, change, share, rest = centre.log_mixture(of_teacher, of_student)
    slope = share * log_ratio + rest * exp_remainder(-log_ratio, -change)
    return terms.of_q, torch.exp(rows.t) * slope


@divergence()
def total_variation(rows):
    """Total variation distance ½ Σ |p − q|. Its derivative is taken to be 0 at a class with p = q.

    Source: Wen et al., "f-Divergence Minimization for Sequence-Level Knowledge Distillation", ACL 2023.
    """
    size = torch.exp(torch.maximum(rows.s, rows.t)) * decay_and_complement(rows.delta)[1]
    return size / 2, torch.exp(rows.t) * (torch.sign(rows.delta) - torch.sign(rows.top - rows.shift)) / 2
