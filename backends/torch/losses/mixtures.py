"""Kullback-Leibler terms of classes, between two distributions and towards their mixture, without cancellation.

All are sums of x − 1 − log x (or what has the same sum over the classes), so every term is ≥ 0. With `decay` = e^(−|x|)
and `complement` = 1 − e^(−|x|), each known to the last digits, nothing here takes a difference of two close numbers.
"""

import math
from typing import NamedTuple

import torch

from .divided_differences import expm1_negative
from .rows import Rows

# below it a series takes over; its last power, by type
_THETA = 0.5
_LAST = {torch.float32: 8, torch.float64: 15}
# above it e^x is not used, log(a + b e^x) is x + log(b + a e^−x)
_FAR = 60.0


def decay_and_complement(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """e^(−|x|) and 1 − e^(−|x|)."""
    return torch.exp(-x.abs()), -expm1_negative(-x.abs())


def gap(rows: Rows) -> torch.Tensor:
    """|p − q| of each class, accurate where the two nearly agree."""
    return torch.exp(torch.maximum(rows.teacher_log, rows.student_log)) * decay_and_complement(rows.log_ratio)[1]


def _series(x: torch.Tensor, numerators: bool = False) -> torch.Tensor:
    """Σ x^k/(k+2)!, which is (e^x − 1 − x)/x²; with numerators Σ (k+1) x^k/(k+2)!."""
    factors = [(k + 1 if numerators else 1) / math.factorial(k + 2) for k in range(_LAST[x.dtype] + 1)]
    polynomial = torch.full_like(x, factors[-1])
    for factor in reversed(factors[:-1]):
        polynomial = polynomial * x + factor
    return polynomial


def exp_remainder(x: torch.Tensor, expm1: torch.Tensor) -> torch.Tensor:
    """e^x − 1 − x, given e^x − 1; never negative."""
    return torch.where(x.abs() < _THETA, x * x * _series(x), expm1 - x)


def larger_term(w: torch.Tensor, complement: torch.Tensor) -> torch.Tensor:
    """(x log(x/y) − x + y)/x for y = x e^(−w), w ≥ 0, complement = 1 − e^(−w)."""
    return torch.where(w < _THETA, w * w * _series(-w), w - complement)


def smaller_term(
    w: torch.Tensor, complement: torch.Tensor, decay: torch.Tensor, whole: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """whole · (y log(y/x) − y + x)/x for y = x e^(−w), w ≥ 0; whole times 1 − e^(−w) and whole times e^(−w) given."""
    return torch.where(w < _THETA, whole * w * w * _series(-w, numerators=True), complement - w * decay)


def log_mixture(
    x: torch.Tensor, decay: torch.Tensor, complement: torch.Tensor, share: torch.Tensor, rest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """log(rest + share·e^x) to the last digits, also where it is near 0, and that over e^x if x > 0, no log taken.

    Args:
        x: any finite number.
        decay, complement: of x.
        share, rest: positive, their sum 1.
    """
    up = x > 0
    scaled = torch.where(up, share + rest * decay, rest + share * decay)
    step = torch.where(up, share * complement / decay, -share * complement)
    outright = (x > _FAR) | (step < -0.5)
    near = torch.log1p(torch.where(outright, 0.0, step))
    return torch.where(outright, torch.log(scaled) + x.clamp(min=0), near), scaled


class MixtureTerms(NamedTuple):
    """Terms of KL(p‖m) and KL(q‖m) by class, each ≥ 0; they add up to the divergences."""

    of_p: torch.Tensor
    of_q: torch.Tensor


def mixture_terms(rows: Rows, share: torch.Tensor, rest: torch.Tensor) -> MixtureTerms:
    """Terms for the mixture m = share·p + rest·q, both shares positive, their sum 1."""
    up, w = rows.log_ratio > 0, rows.log_ratio.abs()
    decay, complement = decay_and_complement(w)
    of_larger, of_smaller = torch.where(up, share, rest), torch.where(up, rest, share)
    below, mixed = log_mixture(-w, decay, complement, of_smaller, of_larger)  # log(m/larger), m/larger
    above, _ = log_mixture(w, decay, complement, of_larger, of_smaller)  # log(m/smaller)
    larger = larger_term(-below, of_smaller * complement)
    smaller = smaller_term(above, of_larger * complement, decay, mixed)
    size = torch.exp(torch.maximum(rows.teacher_log, rows.student_log))
    return MixtureTerms(size * torch.where(up, larger, smaller), size * torch.where(up, smaller, larger))


class Centre(NamedTuple):
    """How each class's ratio x = p/q compares with that of a row's reference, the student's most likely class.

    Attributes:
        rise: δ less the reference's δ, rounded once.
        decay, complement: of rise.
        x: ratio of the reference, `[rows, 1]`.
    """

    rise: torch.Tensor
    decay: torch.Tensor
    complement: torch.Tensor
    x: torch.Tensor

    @classmethod
    def of(cls, rows: Rows) -> "Centre":
        """Compare with the top class; where p there is next to nothing any small ratio serves, and none is 0."""
        reference = torch.maximum(rows.top_relative, rows.shift - _FAR)
        rise = rows.relative - reference
        return cls(rise, *decay_and_complement(rise), torch.exp(reference - rows.shift))

    def log_mixture(
        self, share: torch.Tensor, rest: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """For m = share·p + rest·q and μ = m/q: log(μ/μ_j), 1 − μ_j/μ, share·x_j/μ_j and rest/μ_j, j the reference."""
        mixed = rest + share * self.x
        own_share, own_rest = share * self.x / mixed, rest / mixed
        rho, scaled = log_mixture(self.rise, self.decay, self.complement, own_share, own_rest)
        change = own_share * self.complement / scaled
        return rho, torch.where(self.rise > 0, change, -change), own_share, own_rest
