"""Value and gradient of the α-β-divergence for a block of rows: the one formula that all ways of running it share.

NUMERICS in brief: differences of logits are taken before the temperature divides them, log-partitions are compared
through one log1p, the gradient is centred at the student's most likely class, and no two rounded exponents are ever
subtracted. Everything is branch-free, so that torch.compile fuses it and rows hold on chip.
"""

import torch

from backends.torch.divided_differences import Pattern, Scalars, first_order, second_order


def _difference(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x − y rounded, and what the rounding left out (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (x - (high - back)) - (y + back)


def value_and_gradient(
    student: torch.Tensor, teacher: torch.Tensor, weight: torch.Tensor, values: torch.Tensor, pattern: Pattern,
    with_gradient: bool = True,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Evaluate rows of logits.

    Args:
        student, teacher: logits `[rows, classes]`, any floating type.
        weight: factor of each row's gradient `[rows]`, computing type; a row of weight 0 counts as absent, whatever it
            holds. It is applied before the gradient is rounded to a narrower type.
        values: scalars from `scalars_and_pattern` in the computing type; logits are converted to its type.
        pattern: what the code is specialised on.
        with_gradient: False leaves the gradient's work out.

    Returns:
        The divergence of each row `[rows]` in the computing type, without its weight, and weight times its gradient
        with respect to the student's logits `[rows, classes]` in the student's type (None without gradient).
    """
    k = Scalars(values, pattern.terms)
    z_s, z_t = student.to(values.dtype), teacher.to(values.dtype)
    max_s, max_t = z_s.amax(-1, keepdim=True), z_t.amax(-1, keepdim=True)
    # a row without a finite logit, with NaN or with +inf gives NaN everywhere
    poison = torch.where(torch.isfinite(max_s) & torch.isfinite(max_t), 0.0, float("nan")).to(z_s.dtype)
    infinite = float("inf")
    no_s, no_t = z_s == -infinite, z_t == -infinite
    # absent classes: δ = 0 at whichever logit is there, their contributions are put in below
    nothing = no_s & no_t
    a = torch.where(nothing, -infinite, torch.where(no_s, z_t - max_t, z_s - max_s)) / k.temperature
    b = torch.where(nothing, -infinite, torch.where(no_t, z_s - max_s, z_t - max_t)) / k.temperature
    absent = no_s | no_t
    high, low = _difference(z_t, z_s)
    high_max, low_max = _difference(max_t, max_s)
    w0 = torch.where(absent, 0.0, ((high - high_max) + (low - low_max)) / k.temperature)

    e_s = torch.where(no_s, 0.0, torch.exp(a))
    change = torch.exp(torch.maximum(a, b)) * -torch.expm1(-w0.abs())
    change = torch.where(w0 < 0, -change, change)
    change = torch.where(absent, torch.where(no_t, -e_s, torch.exp(b)), change)
    change = torch.where(nothing, 0.0, change)
    sum_s = e_s.sum(-1, keepdim=True) + poison
    shift = torch.log1p(change.sum(-1, keepdim=True) / sum_s)  # log-partition of the teacher minus the student's
    log_s = torch.log(sum_s)
    t = a - torch.where(no_s, log_s + shift, log_s)
    s = b - torch.where(no_t, log_s, log_s + shift)
    # δ at the student's most likely class, −inf where the teacher forbids it
    w0_top = torch.where((z_s == max_s) & ~no_t, w0, -infinite).amax(-1, keepdim=True)

    delta = torch.where(absent, 0.0, w0 - shift)
    w, positive = delta.abs(), delta > 0
    s_, t_ = torch.where(nothing, 0.0, s), torch.where(nothing, 0.0, t)
    top = torch.exp(
        torch.where(positive, k.top_s_positive, k.top_s_negative) * s_
        + torch.where(positive, k.top_t_positive, k.top_t_negative) * t_
    )
    d = top * second_order(w, positive, k, pattern)
    d = torch.where(absent, _absent(top, k, no_t), d)
    value = torch.where(nothing, 0.0, d).sum(-1) + poison[:, 0]
    value = torch.where(weight == 0, 0.0, value)
    if not with_gradient:
        return value, None

    q = torch.exp(t)
    centred = _centred(w0, shift, w0_top, s_, t_, q, log_s, k, pattern)
    slope_absent = torch.where(no_t, top * k.no_teacher_slope, top * k.no_student_slope + k.no_student_offset)
    h_absent = slope_absent - torch.where(no_t, _top_ratio(w0_top, shift, log_s, k) * q, 0.0)
    centred = torch.where(absent, h_absent, centred)
    limit = torch.finfo(values.dtype).max / (4 * student.shape[-1])  # an overflow must not become inf − inf
    centred = torch.where(nothing, 0.0, centred).clamp(-limit, limit)
    q = torch.where(no_s, 0.0, q)
    gradient = (q * centred.sum(-1, keepdim=True) - centred) / k.temperature
    gradient = torch.where(no_s, poison, gradient) * weight[:, None]
    gradient = torch.where(weight[:, None] == 0, 0.0, gradient)
    return value, gradient.to(student.dtype)


def _absent(top: torch.Tensor, k: Scalars, no_t: torch.Tensor) -> torch.Tensor:
    """Value of a class that only one of teacher and student allows; `top` is q^γ or p^γ there."""
    factor = torch.where(no_t, k.no_teacher_value, k.no_student_value)
    return torch.where(torch.isinf(factor), factor, top * factor)


def _top_ratio(w0_top: torch.Tensor, shift: torch.Tensor, log_s: torch.Tensor, k: Scalars) -> torch.Tensor:
    """h/q at the student's most likely class, where the gradient is centred; `[rows, 1]`."""
    there = w0_top > -float("inf")
    delta = torch.where(there, w0_top - shift, 0.0)
    positive = delta > 0
    t = -log_s
    weight_s = torch.where(positive, k.larger_s_positive, k.larger_s_negative)
    ratio = torch.exp(weight_s * delta + (k.gamma - 1) * t) * first_order(delta.abs(), k.alpha_gap, k.alpha_inverse)
    return torch.where(there, torch.where(positive, ratio, -ratio), torch.exp((k.gamma - 1) * t) * k.no_teacher_slope)


def _centred(
    w0: torch.Tensor, shift: torch.Tensor, w0_top: torch.Tensor, s: torch.Tensor, t: torch.Tensor, q: torch.Tensor,
    log_s: torch.Tensor, k: Scalars, pattern: Pattern,
) -> torch.Tensor:  # fmt: skip
    """h_k − (h_j/q_j) q_k, with j the student's most likely class: it changes no gradient, only its rounding."""
    if not pattern.gamma_is_one:
        delta = w0 - shift
        positive = delta > 0
        larger = torch.exp(
            torch.where(positive, k.larger_s_positive, k.larger_s_negative) * s
            + torch.where(positive, k.larger_t_positive, k.larger_t_negative) * t
        )
        h = larger * first_order(delta.abs(), k.alpha_gap, k.alpha_inverse)
        return torch.where(positive, h, -h) - _top_ratio(w0_top, shift, log_s, k) * q
    # γ = 1: q_k (e^(αδ_k) − e^(αδ_j))/α exactly; where the teacher forbids j and α ≤ 0, j is left out: centre at δ = 0
    reference = torch.where((w0_top == -float("inf")) & (k.alpha <= 0), shift, w0_top)
    difference = w0 - reference
    own = (difference > 0) == (k.alpha > 0)  # whether αδ_k is the larger of the two
    at_own = k.alpha * s + k.beta * t
    at_reference = t + torch.where(k.alpha == 0, 0.0, k.alpha * (reference - shift))
    size = torch.exp(torch.where(own, at_own, at_reference)) * first_order(
        difference.abs(), k.alpha_gap, k.alpha_inverse
    )
    return torch.where(difference > 0, size, -size)
