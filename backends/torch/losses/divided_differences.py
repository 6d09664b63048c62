"""Divided differences of exp, evaluated without cancellation, in PyTorch operations that torch.compile can fuse."""

import math
from collections.abc import Callable

import torch

from .operands import Pattern, Scalars


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

    def pick_any(self, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
        """`yes` where the condition holds, else `no`, whatever the other one is, infinite or no number."""
        return torch.where(self._mask.to(torch.bool), yes, no)


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


def second_order(delta: torch.Tensor, s: torch.Tensor, t: torch.Tensor, k: Scalars, pattern: Pattern) -> torch.Tensor:
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
    return _product_(exponent.exp_(), far.pick_(apart, close) if pattern.finite else far.pick_any(apart, close))


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
