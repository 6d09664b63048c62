"""What a class adds to the α-β-divergence and its slope, for every (α, β)."""

import math
from collections.abc import Sequence

import torch

from backends.torch.divided_differences import (
    Pattern,
    Scalars,
    first_order,
    pick,
    saturating_exp,
    scalars_and_pattern,
    weighted_second_order,
    with_sign_of,
)
from backends.torch.rows import DEFINITIONS, Definition, Rows


def ab_classes(
    rows: Rows, values: torch.Tensor, _: torch.Tensor | None, pattern: Pattern
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Terms and slopes of the α-β-divergence, see `Definition`."""
    k = Scalars(values)
    no_s, no_t = rows.no_student, rows.no_teacher
    d = weighted_second_order(rows.delta, rows.s, rows.t, k, pattern)
    if no_s is not None and no_t is not None:
        present = saturating_exp(k.gamma * rows.t)  # q^γ, or p^γ where the student's is absent
        factor = torch.where(no_t, k.no_teacher_value, k.no_student_value)
        d_absent = torch.where(torch.isinf(factor), factor, present * factor)
        d = torch.where(no_s & no_t, 0.0, torch.where(no_s | no_t, d_absent, d))
    if rows.q is None:
        return d, None
    centred = _centred(rows, k, pattern)
    if no_s is not None and no_t is not None:
        slope_student = present * k.no_teacher_slope - _top_ratio(rows, k) * rows.q
        slope_teacher = present * k.no_student_slope + k.no_student_offset
        centred = torch.where(no_s, slope_teacher, torch.where(no_t, slope_student, centred))
        centred = torch.where(no_s & no_t, 0.0, centred)
    return d, centred


def _prepare(parameters: Sequence[float], temperature: float, dtype: torch.dtype) -> tuple[list[float], Pattern]:
    return scalars_and_pattern(parameters[0], parameters[1], temperature, dtype)


DEFINITIONS["ab_divergence"] = Definition(ab_classes, _prepare)


def _top_ratio(rows: Rows, k: Scalars) -> torch.Tensor:
    """h/q at the student's most likely class, where the gradient is centred; `[rows, 1]`."""
    there = rows.top > -math.inf
    delta = torch.where(there, rows.top - rows.shift, 0.0)
    positive = delta > 0
    t = -rows.log_partition
    weight_s = torch.where(positive, k.larger_s_positive, k.larger_s_negative)
    ratio = saturating_exp(weight_s * delta + (k.gamma - 1) * t) * first_order(delta.abs(), k, "alpha")
    absent = saturating_exp((k.gamma - 1) * t) * k.no_teacher_slope
    return torch.where(there, torch.where(positive, ratio, -ratio), absent)


def _centred(rows: Rows, k: Scalars, pattern: Pattern) -> torch.Tensor:
    """h_k − (h_j/q_j) q_k, with j the student's most likely class: it changes no gradient, only its rounding."""
    s, t = rows.s, rows.t
    if not pattern.gamma_is_one:
        return _centred_generally(rows, k)
    # γ = 1: q_k (e^(αδ_k) − e^(αδ_j))/α exactly; where the teacher forbids j and α ≤ 0, j is left out: centre at δ = 0
    reference = torch.where((rows.top == -math.inf) & (k.alpha <= 0), rows.shift, rows.top)
    difference = rows.relative - reference
    own = (difference > 0) == (k.alpha > 0)  # whether αδ_k is the larger of the two
    at_own = k.alpha * s + k.beta * t
    at_reference = t + torch.where(k.alpha == 0, 0.0, k.alpha * (reference - rows.shift))
    distance = difference.abs()
    if rows.no_student is not None:
        distance = distance.clamp(max=1e30)  # infinite where the teacher forbids j
    size = saturating_exp(torch.where(own, at_own, at_reference)) * first_order(distance, k, "alpha")
    return with_sign_of(size, difference)


#: a class whose q^(γ−1) is within this, in logarithms, of the top class's is as good as tied with it
_TIED = 0.0625


def _centred_generally(rows: Rows, k: Scalars) -> torch.Tensor:
    """`_centred` for γ ≠ 1.

    Of classes all but tied with the top class h_k and (h_j/q_j) q_k may be the same but for their last digits. With
    x = (γ−1)(t_k − t_j) the difference is q_k^γ (e^(αδ_k) − e^(αδ_j))/α + (e^x − 1)(h_j/q_j) q_k there.
    """
    s, t = rows.s, rows.t
    delta = rows.relative - rows.shift
    positive = delta > 0
    exponent = pick(positive, k.larger_s_positive, k.larger_s_negative) * s
    exponent = exponent + pick(positive, k.larger_t_positive, k.larger_t_negative) * t
    ratio = _top_ratio(rows, k)
    tied = (t + rows.log_partition) * (k.gamma - 1).abs() > -_TIED
    if not torch.compiler.is_compiling() and tied.sum() <= len(tied):  # the top classes alone
        return with_sign_of(saturating_exp(exponent) * first_order(delta.abs(), k, "alpha"), delta) - ratio * rows.q
    tied = tied & (rows.top > -math.inf)
    step = torch.where(tied, rows.relative - rows.top, delta)
    of_tied = torch.maximum(k.alpha * s + k.beta * t, k.gamma * t + k.alpha * (rows.top - rows.shift))
    exponent = torch.where(tied, of_tied, exponent)
    h = with_sign_of(saturating_exp(exponent) * first_order(step.abs(), k, "alpha"), step)
    power = (k.gamma - 1) * (t + rows.log_partition)
    growth = torch.full_like(power, 1.0)
    for n in range(9, 1, -1):  # (e^x − 1)/x, whose next term is below 1e-17
        growth = 1 + growth * (power * (1 / n))
    return h + torch.where(tied, power * growth, -1.0) * ratio * rows.q
