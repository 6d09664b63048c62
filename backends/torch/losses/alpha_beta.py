"""The α-β-divergence for every real (α, β): what a class adds to it and to its slope.

With s = log p (teacher), t = log q (student), δ = s − t and γ = α + β it is one divided difference of exp,

    D_AB(p‖q) = Σ δ² exp[γt, αs+βt, γs],    h = −∂D/∂t = δ exp[γt, αs+βt],

Definition 4.1 of the ABKD paper (Wang et al., ICML 2025) extended to all real α, β by continuity (Cichocki et al., 2011).
"""

import math
from collections.abc import Sequence

import torch

from .differentiable import check_arguments, evaluate
from .divided_differences import Mask, combination, first_order, saturating_exp_, second_order, with_sign_of_
from .execution import DEFINITIONS, Definition
from .operands import AB_CHECKS, Pattern, Scalars, pack, scalars_and_pattern
from .rows import Rows


def ab_divergence(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """α-β-divergence D_AB(teacher ‖ student) of the softmax distributions of two sets of logits.

    (1, 0) is the forward KL divergence, (0, 1) the reverse one, (½, ½) twice Σ(√p − √q)², (1, 1) half the squared
    Euclidean distance. There is no factor temperature²: objectives that have one apply it themselves.

    Args:
        student_logits: `[..., C]`, float64, float32, bfloat16 or float16. Log-probabilities are logits too; −inf marks
            a class of probability 0.
        teacher_logits: the same shape; a constant, no gradient reaches it.
        alpha, beta: any finite real numbers, or scalar tensors, which are held constant. A schedule of them or of the
            temperature compiles nothing again, in torch.compile neither.
        temperature: divides both sets of logits, > 0.
        mask: `[...]`, bool, or numbers that are 0 or 1; True selects a row. Rows left out never reach value or gradient,
            whatever they hold.
        weights: `[...]`, real, finite, ≥ 0, a constant: the weight of each row; rows of weight 0 are left out.
        reduction: "mean", Σ weight · D / Σ weight over selected rows; "sum", Σ weight · D; or "none" (`[...]`, weight · D).

    Returns:
        The divergence in float64 for float64 students, else float32; the gradient has the student's type. An empty
        selection gives 0. A row with NaN, +inf or no finite logit gives NaN. Differentiable once.

    Raises:
        ValueError: shapes, reduction, weights, or a parameter that is not finite (temperature: not positive) or too large
            for the computing type.
        TypeError: logits that are not floating point; a floating mask of other numbers than 0 and 1.

    Source: Definition 4.1 of Wang et al., "ABKD", ICML 2025, extended to all (α, β) by Cichocki et al., 2011.
    """
    student, teacher, weight = check_arguments(student_logits, teacher_logits, mask, weights, reduction)
    return packed_ab_divergence(student, teacher, pack(alpha, beta, temperature), weight, reduction)


def packed_ab_divergence(
    student: torch.Tensor, teacher: torch.Tensor, packed: Sequence[float] | torch.Tensor, weight: torch.Tensor, reduction: str
) -> torch.Tensor:
    """`ab_divergence` of arguments that are checked already, with the parameters of `operands.pack`."""
    return evaluate("ab_divergence", student, teacher, packed, weight, reduction)


def ab_rows(
    rows: Rows, values: torch.Tensor, _: torch.Tensor | None, pattern: Pattern
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Terms and slopes of the α-β-divergence, see `Definition`."""
    k = Scalars(values)
    no_s, no_t = rows.no_student, rows.no_teacher
    d = second_order(rows.log_ratio, rows.teacher_log, rows.student_log, k, pattern)
    if no_s is not None and no_t is not None:
        present = saturating_exp_(k.gamma * rows.student_log)  # q^γ, or p^γ where the student's is absent
        factor = torch.where(no_t, k.no_teacher_value, k.no_student_value)
        d_absent = torch.where(torch.isinf(factor), factor, present * factor)
        d = torch.where(no_s & no_t, 0.0, torch.where(no_s | no_t, d_absent, d))
    if rows.student_probability is None:
        return d, None
    centred = _centred(rows, k, pattern)
    if no_s is not None and no_t is not None:
        slope_student = present * k.no_teacher_slope - _top_ratio(rows, k) * rows.student_probability
        slope_teacher = present * k.no_student_slope + k.no_student_offset
        centred = torch.where(no_s, slope_teacher, torch.where(no_t, slope_student, centred))
        centred = torch.where(no_s & no_t, 0.0, centred)
    return d, centred


def _prepare(parameters: Sequence[float], temperature: float, dtype: torch.dtype) -> tuple[list[float], Pattern]:
    return scalars_and_pattern(parameters[0], parameters[1], temperature, dtype)


DEFINITIONS["ab_divergence"] = Definition(ab_rows, _prepare, AB_CHECKS)


def _top_ratio(rows: Rows, k: Scalars) -> torch.Tensor:
    """h/q at the student's most likely class, where the gradient is centred; `[rows, 1]`."""
    there = rows.top_relative > -math.inf
    delta = torch.where(there, rows.top_relative - rows.shift, 0.0)
    positive = delta > 0
    t = -rows.log_partition
    weight_s = torch.where(positive, k.larger_s_positive, k.larger_s_negative)
    ratio = saturating_exp_(weight_s * delta + (k.gamma - 1) * t) * first_order(delta.abs(), k, "alpha")
    absent = saturating_exp_((k.gamma - 1) * t) * k.no_teacher_slope
    return torch.where(there, torch.where(positive, ratio, -ratio), absent)


def _centred(rows: Rows, k: Scalars, pattern: Pattern) -> torch.Tensor:
    """h_k − (h_j/q_j) q_k, with j the student's most likely class: it changes no gradient, only its rounding."""
    s, t = rows.teacher_log, rows.student_log
    if not pattern.gamma_is_one:
        return _centred_generally(rows, k)
    # γ = 1: q_k (e^(αδ_k) − e^(αδ_j))/α exactly; where the teacher forbids j and α ≤ 0, j is left out: centre at δ = 0
    reference = torch.where((rows.top_relative == -math.inf) & (k.alpha <= 0), rows.shift, rows.top_relative)
    difference = rows.relative - reference
    own = Mask(torch.gt, difference, 0.0).flipped_unless(k.alpha > 0)  # whether αδ_k is the larger of the two
    limit = torch.finfo(t.dtype).max / 4  # a forbidden j is infinitely far
    at_reference = t + torch.where(k.alpha == 0, 0.0, k.alpha * (reference - rows.shift)).clamp(-limit, limit)
    distance = difference.abs()
    if rows.no_student is not None:
        distance = distance.clamp(max=torch.finfo(distance.dtype).max)  # infinite where the teacher forbids j
    size = saturating_exp_(own.pick_(combination(k.alpha, s, k.beta, t), at_reference))
    return with_sign_of_(size.mul_(first_order(distance, k, "alpha")), difference)


# a class whose q^(γ−1) is within this, in logarithms, of the top class's is as good as tied with it
_TIED = 0.0625


def _centred_generally(rows: Rows, k: Scalars) -> torch.Tensor:
    """`_centred` for γ ≠ 1: the difference as it stands, except where a class is all but tied with the top one."""
    s, t, q = rows.teacher_log, rows.student_log, rows.student_probability
    delta = rows.relative - rows.shift
    exponent = Mask(torch.gt, delta, 0.0).pick_(
        combination(k.larger_s_positive, s, k.larger_t_positive, t), combination(k.larger_s_negative, s, k.larger_t_negative, t)
    )
    ratio = _top_ratio(rows, k)
    tied = (t > -_TIED / (k.gamma - 1).abs() - rows.log_partition) & (rows.top_relative > -math.inf)
    of_rows = (rows.top_relative, rows.shift, rows.log_partition)
    if torch.compiler.is_compiling():
        step_tied, exponent_tied, change = _parts_of_tied(rows.relative, s, t, *of_rows, k)
        step, exponent = torch.where(tied, step_tied, delta), torch.where(tied, exponent_tied, exponent)
        return _signed(step, exponent, k) + torch.where(tied, change, -1.0) * ratio * q
    centred = _signed(delta, exponent, k).addcmul_(ratio, q, value=-1)
    row, column = tied.nonzero(as_tuple=True)
    if len(row) > len(tied):  # more than the top classes themselves
        classes = (x[row, column] for x in (rows.relative, s, t))
        step, exponent, change = _parts_of_tied(*classes, *(x[row, 0] for x in of_rows), k)
        centred[row, column] = _signed(step, exponent, k) + change * ratio[row, 0] * q[row, column]
    return centred


def _signed(step: torch.Tensor, exponent: torch.Tensor, k: Scalars) -> torch.Tensor:
    """e^exponent E(|step|; |α|) with the sign of the step; the exponent may be overwritten."""
    return with_sign_of_(saturating_exp_(exponent).mul_(first_order(step.abs(), k, "alpha")), step)


def _parts_of_tied(
    relative: torch.Tensor,
    s: torch.Tensor,
    t: torch.Tensor,
    top: torch.Tensor,
    shift: torch.Tensor,
    log_partition: torch.Tensor,
    k: Scalars,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where q_k^(γ−1) and q_j^(γ−1) are all but the same, h_k and (h_j/q_j) q_k may cancel to their last digits.

    With x = (γ−1)(t_k − t_j) their difference is q_k^γ (e^(αδ_k) − e^(αδ_j))/α + (e^x − 1)(h_j/q_j) q_k: returned are
    the step δ_k − δ_j and the exponent of the first part, and e^x − 1.
    """
    exponent = torch.maximum(k.alpha * s + k.beta * t, k.gamma * t + k.alpha * (top - shift))
    power = (k.gamma - 1) * (t + log_partition)
    growth = torch.full_like(power, 1.0)
    for n in range(9 if t.dtype == torch.float64 else 5, 1, -1):  # (e^x − 1)/x; the next term is below the last digit
        growth = 1 + growth * (power * (1 / n))
    return relative - top, exponent, power * growth
