"""Divided differences of exp, evaluated without cancellation, in PyTorch operations that torch.compile can fuse."""

import math
from typing import NamedTuple

import torch

from backends.coefficients import SERIES, coefficients

NAMES = (
    "inverse_temperature", "alpha", "beta", "gamma", "theta", "mean_s", "mean_t",
    "alpha_gap", "beta_gap", "gamma_gap", "alpha_inverse", "beta_inverse", "gamma_inverse",
    "alpha_is_zero", "beta_is_zero", "gamma_is_zero", "whole", "whole_inverse",
    "first", "second", "top_s_positive", "top_t_positive", "top_s_negative", "top_t_negative",
    "larger_s_positive", "larger_t_positive", "larger_s_negative", "larger_t_negative",
    "no_teacher_value", "no_teacher_slope", "no_student_value", "no_student_slope", "no_student_offset",
)  # fmt: skip


class Pattern(NamedTuple):
    """What code is specialised on: never the values of α, β and T, only their signs.

    Attributes:
        first, second: which of the gaps |α|, |β|, |γ| separates top from middle and middle from low node for δ > 0.
        gamma_is_one: α + β = 1, where the centred gradient has a product form.
        terms: last term of the series, 5 in float32 and 15 in float64.
        finite: no logit is −inf, so that the work for absent classes is left out.
    """

    first: str
    second: str
    gamma_is_one: bool
    terms: int
    finite: bool = False


class Scalars:
    """The run-time scalars of a call, by name, read from one small tensor so that they are never compiled in."""

    def __init__(self, values: torch.Tensor) -> None:
        for name, value in zip(NAMES, values.unbind(), strict=False):
            setattr(self, name, value)
        self.series = values[len(NAMES) :].unbind()


def scalars_and_pattern(
    alpha: float, beta: float, temperature: float, dtype: torch.dtype
) -> tuple[list[float], Pattern]:
    """Work out a call's scalars (in the order of `NAMES`, then the series) and what its code is specialised on.

    Args:
        alpha, beta, temperature: the parameters, already checked.
        dtype: computing type, torch.float32 or torch.float64.
    """
    theta, terms = SERIES["float64" if dtype == torch.float64 else "float32"]
    c = coefficients(alpha, beta, terms)
    # below this a gap is 0 to the last digit of every result, and its inverse would leave float32's range
    gaps = {
        name: (g if g > 1e-30 else 0.0)
        for name, g in (("alpha", abs(alpha)), ("beta", abs(beta)), ("gamma", abs(c.gamma)))
    }
    inverse = {name: 1 / g if g else 0.0 for name, g in gaps.items()}
    if alpha * beta >= 0:
        pair = ("beta", "alpha") if c.gamma > 0 else ("alpha", "beta")
    elif alpha * c.gamma >= 0:
        pair = ("beta", "gamma") if alpha > 0 else ("gamma", "beta")
    else:
        pair = ("alpha", "gamma") if alpha > 0 else ("gamma", "alpha")
    infinite = float("inf")
    whole = float(c.whole) if c.whole > 1e-30 else 0.0
    values = [
        1 / temperature, alpha, beta, c.gamma, theta, (alpha + c.gamma) / 3, (beta + c.gamma) / 3,
        gaps["alpha"], gaps["beta"], gaps["gamma"], inverse["alpha"], inverse["beta"], inverse["gamma"],
        *(float(gap == 0) for gap in gaps.values()),
        whole, 1 / whole if whole else 0.0, c.first, c.second,
        *c.top_positive, *c.top_negative, *c.larger_positive, *c.larger_negative,
        1 / alpha / c.gamma if alpha > 0 and c.gamma > 0 else infinite, -1 / alpha if alpha > 0 else 0.0,
        1 / beta / c.gamma if beta > 0 and c.gamma > 0 else infinite, 1 / alpha if beta == 0 and alpha > 0 else 0.0,
        1 / beta if beta > 0 and c.gamma == 0 else 0.0,
        *(factor / math.factorial(n + 2) for n, factor in enumerate(c.series_positive, start=2)),
    ]  # fmt: skip
    return [float(value) for value in values], Pattern(*pair, bool(c.gamma == 1), terms)


def pick(condition: torch.Tensor, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
    """torch.where of finite numbers, by interpolation in eager mode, where it takes half the time and is as exact."""
    if torch.compiler.is_compiling():
        return torch.where(condition, yes, no)
    return torch.lerp(no, yes, condition.to(yes.dtype))


def with_sign_of(size: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`size` ≥ 0 with the sign of x, by whichever of two ways is vectorised."""
    return torch.where(x > 0, size, -size) if torch.compiler.is_compiling() else torch.copysign(size, x)


def expm1_negative(x: torch.Tensor) -> torch.Tensor:
    """e^x − 1 for x ≤ 0, to the last digits also near 0, where torch.compile's code for the CPU subtracts 1 from e^x."""
    if not torch.compiler.is_compiling():
        return torch.expm1(x)
    polynomial = torch.full_like(x, 1.0)
    for n in range(15 if x.dtype == torch.float64 else 8, 1, -1):
        polynomial = 1 + polynomial * (x * (1 / n))
    return torch.where(x > -0.5, x * polynomial, torch.exp(x) - 1)


def first_order(w: torch.Tensor, k: Scalars, name: str) -> torch.Tensor:
    """E(w; g) = (1 − e^(−g·w))/g for finite w ≥ 0, and w where g = 0, for the gap g called `name`."""
    gap, inverse = getattr(k, f"{name}_gap"), getattr(k, f"{name}_inverse")
    return w * getattr(k, f"{name}_is_zero") - expm1_negative(-gap * w) * inverse


def weighted_second_order(
    delta: torch.Tensor, s: torch.Tensor, t: torch.Tensor, k: Scalars, pattern: Pattern
) -> torch.Tensor:
    """δ² exp[γt, αs+βt, γs] for δ = s − t: what a class adds to the divergence; never negative.

    Far apart, the difference of two first-order ones relative to the top node; close together, the series about the mean
    of the nodes. The series of −δ is that of δ with every odd coefficient negated, so that it takes δ with its sign.
    """
    w, positive = delta.abs(), delta > 0
    far = k.whole * w >= k.theta
    first, second = first_order(w, k, pattern.first), first_order(w, k, pattern.second)
    upper, lower = pick(positive, first, second), pick(positive, second, first)
    # e^(−g·w) = 1 − g·E(w; g) is off by an eps at most, which the other factor multiplies by 17 at worst
    decay = 1 - pick(positive, k.first, k.second) * upper
    apart = (upper - decay * lower) * k.whole_inverse
    polynomial = k.series[-1].expand_as(delta)
    for factor in reversed(k.series[:-1]):
        polynomial = polynomial * delta + factor
    square = delta * delta
    close = square * (0.5 + polynomial * square)
    weight_s = pick(far, pick(positive, k.top_s_positive, k.top_s_negative), k.mean_s)
    weight_t = pick(far, pick(positive, k.top_t_positive, k.top_t_negative), k.mean_t)
    # the product is left out where it is 0 · inf
    return torch.where(w == 0, 0.0, torch.exp(weight_s * s + weight_t * t) * torch.where(far, apart, close))


def saturating_exp(x: torch.Tensor) -> torch.Tensor:
    """e^x, held at a tenth of the type's exponents below its largest number: gradients saturate, never inf − inf."""
    return torch.exp(x.clamp(max=0.9 * math.log(torch.finfo(x.dtype).max)))
