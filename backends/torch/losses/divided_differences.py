"""Divided differences of exp, evaluated without cancellation, in PyTorch operations that torch.compile can fuse."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from ...common.coefficients import SERIES, coefficients

NAMES = (
    "inverse_temperature",
    "alpha",
    "beta",
    "gamma",
    "theta",
    "mean_s",
    "mean_t",
    "alpha_gap",
    "beta_gap",
    "gamma_gap",
    "alpha_inverse",
    "beta_inverse",
    "gamma_inverse",
    "alpha_is_zero",
    "beta_is_zero",
    "gamma_is_zero",
    "whole",
    "whole_inverse",
    "first",
    "second",
    "top_s_positive",
    "top_t_positive",
    "top_s_negative",
    "top_t_negative",
    "larger_s_positive",
    "larger_t_positive",
    "larger_s_negative",
    "larger_t_negative",
    "no_teacher_value",
    "no_teacher_slope",
    "no_student_value",
    "no_student_slope",
    "no_student_offset",
)


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


def scalars_and_pattern(alpha: float, beta: float, temperature: float, dtype: torch.dtype) -> tuple[list[float], Pattern]:
    """Work out a call's scalars (in the order of `NAMES`, then the series) and what its code is specialised on.

    Args:
        alpha, beta, temperature: the parameters, already checked.
        dtype: computing type, torch.float32 or torch.float64.
    """
    theta, terms = SERIES["float64" if dtype == torch.float64 else "float32"]
    c = coefficients(alpha, beta, terms)
    # below this a gap is 0 to the last digit of every result, and its inverse would leave float32's range
    gaps = {
        name: (g if g > 1e-30 else 0.0) for name, g in (("alpha", abs(alpha)), ("beta", abs(beta)), ("gamma", abs(c.gamma)))
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
        1 / temperature,
        alpha,
        beta,
        c.gamma,
        theta,
        (alpha + c.gamma) / 3,
        (beta + c.gamma) / 3,
        gaps["alpha"],
        gaps["beta"],
        gaps["gamma"],
        inverse["alpha"],
        inverse["beta"],
        inverse["gamma"],
        *(float(gap == 0) for gap in gaps.values()),
        whole,
        1 / whole if whole else 0.0,
        c.first,
        c.second,
        *c.top_positive,
        *c.top_negative,
        *c.larger_positive,
        *c.larger_negative,
        1 / alpha / c.gamma if alpha > 0 and c.gamma > 0 else infinite,
        -1 / alpha if alpha > 0 else 0.0,
        1 / beta / c.gamma if beta > 0 and c.gamma > 0 else infinite,
        1 / alpha if beta == 0 and alpha > 0 else 0.0,
        1 / beta if beta > 0 and c.gamma == 0 else 0.0,
        *(factor / math.factorial(n + 2) for n, factor in enumerate(c.series_positive, start=2)),
    ]
    return [float(value) for value in values], Pattern(*pair, bool(c.gamma == 1), terms)


class Mask:
    """A condition for every class, and the choice between two numbers by it.

    Compiled code chooses by torch.where. In eager mode on a CPU that takes ten times as long as an addition, and making
    a float of a bool five times: there the comparison writes 0 and 1, between which interpolation is exact for finite
    numbers.
    """

    def __init__(self, compare: Callable[..., torch.Tensor], x: torch.Tensor, bound: torch.Tensor | float) -> None:
        eager = not torch.compiler.is_compiling()
        self._mask = compare(x, bound, out=torch.empty_like(x)) if eager else compare(x, bound)

    def flipped_unless(self, keep: torch.Tensor) -> "Mask":
        """The same condition where the bool `keep` holds, its negation elsewhere."""
        other = object.__new__(Mask)
        if self._mask.dtype == torch.bool:
            other._mask = self._mask == keep
        else:
            other._mask = (self._mask + (keep.to(self._mask.dtype) - 1)).abs_()
        return other

    def pick_(self, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
        """`yes` where the condition holds, else `no`, both finite; `no` may be overwritten."""
        if self._mask.dtype == torch.bool:
            return torch.where(self._mask, yes, no)
        return no.lerp_(yes, self._mask)

    def pick(self, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
        """`yes` where the condition holds, else `no`, both finite; either may be a scalar."""
        if self._mask.dtype == torch.bool:
            return torch.where(self._mask, yes, no)
        return torch.lerp(no, yes, self._mask)


def with_sign_of_(size: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`size` ≥ 0 with the sign of x, by whichever of two ways is vectorised; `size` may be overwritten."""
    return torch.where(x > 0, size, -size) if torch.compiler.is_compiling() else size.copysign_(x)


def combination(weight_s: torch.Tensor, s: torch.Tensor, weight_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """weight_s · s + weight_t · t for scalar weights."""
    return (s * weight_s).addcmul_(t, weight_t)


def expm1_negative(x: torch.Tensor) -> torch.Tensor:
    """e^x − 1 for x ≤ 0, to the last digits also near 0, where torch.compile's code for a CPU subtracts 1 from e^x."""
    if not torch.compiler.is_compiling():
        return torch.expm1(x)
    polynomial = torch.full_like(x, 1.0)
    for n in range(15 if x.dtype == torch.float64 else 8, 1, -1):
        polynomial = 1 + polynomial * (x * (1 / n))
    return torch.where(x > -0.5, x * polynomial, torch.exp(x) - 1)


def expm1_negative_(x: torch.Tensor) -> torch.Tensor:
    """`expm1_negative`, which may overwrite x."""
    return expm1_negative(x) if torch.compiler.is_compiling() else x.expm1_()


def first_order(w: torch.Tensor, k: Scalars, name: str) -> torch.Tensor:
    """E(w; g) = (1 − e^(−g·w))/g for finite w ≥ 0, and w where g = 0, for the gap g called `name`."""
    gap, inverse = getattr(k, f"{name}_gap"), getattr(k, f"{name}_inverse")
    return (w * getattr(k, f"{name}_is_zero")).addcmul_(expm1_negative_(w * -gap), -inverse)


def weighted_second_order(delta: torch.Tensor, s: torch.Tensor, t: torch.Tensor, k: Scalars, pattern: Pattern) -> torch.Tensor:
    """δ² exp[γt, αs+βt, γs] for δ = s − t: what a class adds to the divergence; never negative.

    Far apart, the difference of two first-order ones relative to the top node; close together, the series about the
    mean of the nodes. The series of −δ is that of δ with every odd coefficient negated, so that it takes δ with its
    sign.
    """
    w = delta.abs()
    positive, far = Mask(torch.gt, delta, 0.0), Mask(torch.ge, w * k.whole, k.theta)
    first, second = first_order(w, k, pattern.first), first_order(w, k, pattern.second)
    upper, lower = positive.pick(first, second), positive.pick_(second, first)
    # e^(−g·w) = 1 − g·E(w; g) is off by an eps at most, which the other factor multiplies by 17 at worst
    minus_decay = positive.pick(k.first, k.second).mul_(upper).sub_(1)
    apart = upper.addcmul_(minus_decay, lower).mul_(k.whole_inverse)
    polynomial = torch.addcmul(k.series[-2], delta, k.series[-1])
    for factor in reversed(k.series[:-2]):
        polynomial = polynomial.mul_(delta).add_(factor)
    square = delta * delta
    limit = torch.finfo(delta.dtype).max / 4  # far away the series overflows, and is not used
    close = polynomial.mul_(square).add_(0.5).mul_(square).clamp_(-limit, limit)
    top = positive.pick_(
        combination(k.top_s_positive, s, k.top_t_positive, t), combination(k.top_s_negative, s, k.top_t_negative, t)
    )
    exponent = far.pick_(top, combination(k.mean_s, s, k.mean_t, t))
    return _product_(exponent.exp_(), far.pick_(apart, close))


def _product_(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x · y, 0 where that is inf · 0; x may be overwritten."""
    if torch.compiler.is_compiling():
        return torch.where(y == 0, 0.0, x * y)
    return x.mul_(y).nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)


def saturating_exp_(x: torch.Tensor) -> torch.Tensor:
    """e^x, held at a tenth of the type's exponents below its largest number: gradients saturate, never inf − inf.

    It may overwrite x.
    """
    return x.clamp_(max=0.9 * math.log(torch.finfo(x.dtype).max)).exp_()
