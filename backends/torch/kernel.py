"""Value and gradient of the α-β-divergence for a block of rows: the one formula that all ways of running it share.

NUMERICS in brief: differences of logits are taken before the temperature divides them, log-partitions are compared
through one log1p, the gradient is centred at the student's most likely class, and no two rounded exponents are ever
subtracted. Everything is branch-free, so that torch.compile fuses it and rows hold on chip.
"""

import math

import torch

from backends.torch.divided_differences import (
    Pattern,
    Scalars,
    expm1_negative,
    first_order,
    pick,
    saturating_exp,
    weighted_second_order,
    with_sign_of,
)


def _difference(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x − y rounded, and what the rounding left out (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (x - (high - back)) - (y + back)


def value_and_gradient(
    student: torch.Tensor, teacher: torch.Tensor, weight: torch.Tensor, values: torch.Tensor, pattern: Pattern,
    with_gradient: bool = True, out: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Evaluate rows of logits.

    Args:
        student, teacher: logits `[rows, classes]`, any floating type.
        weight: factor of each row's gradient over the temperature `[rows]`, computing type; a row of weight 0 counts as
            absent, whatever it holds. It is applied before the gradient is rounded to a narrower type.
        values: scalars from `scalars_and_pattern` in the computing type; logits are converted to its type.
        pattern: what the code is specialised on.
        with_gradient: False leaves the gradient's work out.
        out: where the gradient goes, of the student's shape and type; None for a new tensor.

    Returns:
        The divergence of each row `[rows]` in the computing type, without its weight, and weight times its gradient
        with respect to the student's logits `[rows, classes]` in the student's type (None without gradient).
    """
    k = Scalars(values)
    z_s, z_t = student.to(values.dtype), teacher.to(values.dtype)
    max_s, max_t = z_s.amax(-1, keepdim=True), z_t.amax(-1, keepdim=True)
    # a row without a finite logit, with NaN or with +inf gives NaN everywhere
    poison = torch.where(torch.isfinite(max_s) & torch.isfinite(max_t), 0.0, math.nan).to(z_s.dtype)
    no_s, no_t = (z_s == -math.inf, z_t == -math.inf) if not pattern.finite else (None, None)
    a, b, w0 = _relative_logits(z_s, z_t, max_s, max_t, no_s, no_t, k)

    e_s = torch.exp(a)
    change = with_sign_of(-torch.exp(torch.maximum(a, b)) * expm1_negative(-w0.abs()), w0)  # e^b − e^a
    if not pattern.finite:
        change = torch.where(no_s, torch.exp(b), torch.where(no_t, -e_s, change))
        e_s = torch.where(no_s, 0.0, e_s)
        change = torch.where(no_s & no_t, 0.0, change)
    sum_s = e_s.sum(-1, keepdim=True) + poison
    shift = torch.log1p(change.sum(-1, keepdim=True) / sum_s)  # log-partition of the teacher minus the student's
    log_s = torch.log(sum_s)
    log_t = log_s + shift
    delta = w0 - shift
    s, t = b - log_t, a - log_s
    # δ + shift at the student's most likely class, −inf where the teacher forbids it
    is_top = z_s == max_s if pattern.finite else (z_s == max_s) & ~no_t
    w0_top = torch.where(is_top, w0, -math.inf).amax(-1, keepdim=True)
    if not pattern.finite:  # absent classes: δ = 0 at whichever probability is there
        delta = torch.where(no_s | no_t, 0.0, delta)
        s, t = torch.where(no_t, t, s), torch.where(no_s, s, t)
        s, t = torch.where(no_s & no_t, 0.0, s), torch.where(no_s & no_t, 0.0, t)
        present = saturating_exp(k.gamma * t)  # q^γ, or p^γ where the student's is absent

    d = weighted_second_order(delta, s, t, k, pattern)
    if not pattern.finite:
        factor = torch.where(no_t, k.no_teacher_value, k.no_student_value)
        d_absent = torch.where(torch.isinf(factor), factor, present * factor)
        d = torch.where(no_s & no_t, 0.0, torch.where(no_s | no_t, d_absent, d))
    value = d.sum(-1) + poison[:, 0]
    value = torch.where(weight == 0, 0.0, value)
    if not with_gradient:
        return value, None

    q = torch.exp(t)
    centred = _centred(w0, shift, w0_top, s, t, q, log_s, k, pattern)
    if not pattern.finite:
        slope_student = present * k.no_teacher_slope - _top_ratio(w0_top, shift, log_s, k) * q
        slope_teacher = present * k.no_student_slope + k.no_student_offset
        centred = torch.where(no_s, slope_teacher, torch.where(no_t, slope_student, centred))
        centred = torch.where(no_s & no_t, 0.0, centred)
        q = torch.where(no_s, 0.0, q)
    limit = torch.finfo(values.dtype).max / (4 * student.shape[-1])  # an overflow must not become inf − inf
    centred = centred.clamp(-limit, limit)
    gradient = (q * centred.sum(-1, keepdim=True) - centred) * weight[:, None]
    if not pattern.finite:
        gradient = torch.where(no_s, poison, gradient)
    gradient = torch.where(weight[:, None] == 0, 0.0, gradient)
    return value, gradient.to(student.dtype) if out is None else out.copy_(gradient)


def _relative_logits(
    z_s: torch.Tensor, z_t: torch.Tensor, max_s: torch.Tensor, max_t: torch.Tensor,
    no_s: torch.Tensor | None, no_t: torch.Tensor | None, k: Scalars,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Logits less their row's maximum, over the temperature (student, teacher), and their difference to the last digit.

    Where one of them is −inf both are the other one, where both are, 0; the caller puts the absent classes in.
    """
    high, low = _difference(z_t, z_s)
    high_max, low_max = _difference(max_t, max_s)
    a, b = (z_s - max_s) * k.inverse_temperature, (z_t - max_t) * k.inverse_temperature
    w0 = ((high - high_max) + (low - low_max)) * k.inverse_temperature
    if no_s is None or no_t is None:
        return a, b, w0
    only_b, only_a = torch.where(no_t, 0.0, b), torch.where(no_s, 0.0, a)
    return torch.where(no_s, only_b, a), torch.where(no_t, only_a, b), torch.where(no_s | no_t, 0.0, w0)


def _top_ratio(w0_top: torch.Tensor, shift: torch.Tensor, log_s: torch.Tensor, k: Scalars) -> torch.Tensor:
    """h/q at the student's most likely class, where the gradient is centred; `[rows, 1]`."""
    there = w0_top > -math.inf
    delta = torch.where(there, w0_top - shift, 0.0)
    positive = delta > 0
    t = -log_s
    weight_s = torch.where(positive, k.larger_s_positive, k.larger_s_negative)
    ratio = saturating_exp(weight_s * delta + (k.gamma - 1) * t) * first_order(delta.abs(), k, "alpha")
    return torch.where(
        there, torch.where(positive, ratio, -ratio), saturating_exp((k.gamma - 1) * t) * k.no_teacher_slope
    )


def _centred(
    w0: torch.Tensor, shift: torch.Tensor, w0_top: torch.Tensor, s: torch.Tensor, t: torch.Tensor, q: torch.Tensor,
    log_s: torch.Tensor, k: Scalars, pattern: Pattern,
) -> torch.Tensor:  # fmt: skip
    """h_k − (h_j/q_j) q_k, with j the student's most likely class: it changes no gradient, only its rounding."""
    if not pattern.gamma_is_one:
        delta = w0 - shift
        positive = delta > 0
        larger = saturating_exp(
            pick(positive, k.larger_s_positive, k.larger_s_negative) * s
            + pick(positive, k.larger_t_positive, k.larger_t_negative) * t
        )
        h = larger * first_order(delta.abs(), k, "alpha")
        return with_sign_of(h, delta) - _top_ratio(w0_top, shift, log_s, k) * q
    # γ = 1: q_k (e^(αδ_k) − e^(αδ_j))/α exactly; where the teacher forbids j and α ≤ 0, j is left out: centre at δ = 0
    reference = torch.where((w0_top == -math.inf) & (k.alpha <= 0), shift, w0_top)
    difference = w0 - reference
    own = (difference > 0) == (k.alpha > 0)  # whether αδ_k is the larger of the two
    at_own = k.alpha * s + k.beta * t
    at_reference = t + torch.where(k.alpha == 0, 0.0, k.alpha * (reference - shift))
    size = saturating_exp(torch.where(own, at_own, at_reference)) * first_order(
        difference.abs().clamp(max=torch.finfo(difference.dtype).max), k, "alpha"
    )
    return with_sign_of(size, difference)
