"""Divided differences of exp at the exponents of the α-β-divergence, in float64.

Relative to γt the three exponents γt, αs + βt, γs are 0, αδ, γδ (s = log p, t = log q, δ = s − t, γ = α + β), so the
signs of α, β, γ and δ fix their order, and the gaps between them are exactly |α||δ|, |β||δ|, |γ||δ|. Gaps are taken
from δ and the largest exponent is carried compensated; two rounded exponents are never subtracted.
Source: McCurdy, Ng & Parlett, "Accurate computation of divided differences of the exponential function", Math. Comp. 43
(1984).
"""

import numpy as np
from numpy.typing import NDArray

from reference import compensated
from reference.compensated import Pair

# Below this product of the widest gap coefficient and |δ| the series is used, and its last power.
SERIES_BELOW = 1.0
SERIES_TERMS = 15
_SUBNORMAL_BELOW = float(np.finfo(np.float64).tiny)


class Exponents:
    """What the divided differences of one (α, β) need, at every class.

    Attributes:
        alpha, beta: α and β.
        gamma: α + β as a compensated pair.
        log_p: s = log p [...], compensated; finite.
        log_q: t = log q [...], likewise.
        delta: δ = log p − log q [...], likewise, and more accurate than the difference of the two.
    """

    def __init__(self, alpha: float, beta: float, log_p: Pair, log_q: Pair, delta: Pair) -> None:
        self.alpha, self.beta = alpha, beta
        self.gamma = compensated.two_sum(alpha, beta)
        self.log_p, self.log_q, self.delta = log_p, log_q, delta
        self.rises = delta.high >= 0
        self.width = np.abs(delta.high)

    def first_order_top(self) -> Pair:
        """max(γt, αs + βt): the scale of h."""
        return self._top({"student": (0.0, 0.0), "mixed": (self.alpha, 0.0)})

    def second_order_top(self) -> Pair:
        """max(γt, αs + βt, γs): the scale of the divergence's term."""
        gamma = (float(self.gamma.high), float(self.gamma.low))
        return self._top({"student": (0.0, 0.0), "mixed": (self.alpha, 0.0), "teacher": gamma})

    def exponent(self, name: str) -> Pair:
        """γt ("student"), αs + βt ("mixed") or γs ("teacher"), compensated."""
        if name == "student":
            return compensated.multiply(self.gamma, self.log_q)
        if name == "teacher":
            return compensated.multiply(self.gamma, self.log_p)
        alpha, beta = compensated.pair(self.alpha), compensated.pair(self.beta)
        return compensated.add(compensated.multiply(alpha, self.log_p), compensated.multiply(beta, self.log_q))

    def _top(self, offsets: dict[str, tuple[float, float]]) -> Pair:
        # Relative to γt an exponent is its offset times δ; so the largest is decided by signs, exactly. Offsets are
        # compared with what γ = α + β rounds off, as a β that γ does not show counts where δ is large.
        upwards, downwards = max(offsets, key=offsets.get), min(offsets, key=offsets.get)
        return compensated.choose(self.rises, self.exponent(upwards), self.exponent(downwards))

    def first_order(self) -> NDArray:
        """|δ| · exp[γt, αs + βt] / exp(first_order_top): E(|δ|; |α|), so that h is sign(δ) times it."""
        return decay(self.width, abs(self.alpha))

    def second_order(self) -> NDArray:
        """δ² · exp[γt, αs + βt, γs] / exp(second_order_top); not negative."""
        gamma = float(self.gamma.high)
        result = np.empty_like(self.width)
        for rises, sign in ((True, 1.0), (False, -1.0)):
            chosen = self.rises == rises
            upper, lower = _gaps(self.alpha, self.beta, gamma, sign)
            result[chosen] = second_order(self.width[chosen], upper, lower)
        return result


def decay(width: NDArray, gap: float) -> NDArray:
    """E(w; g) = (1 − exp(−g w)) / g, and w at g = 0.

    Args:
        width: w ≥ 0, any shape.
        gap: g ≥ 0.
    """
    if gap == 0.0:
        return width
    product = gap * width
    # a product among the subnormal numbers has lost its digits, and its E is w to far more of them than float64 has
    return np.where(product < _SUBNORMAL_BELOW, width, -np.expm1(-product) / gap)


def second_order(width: NDArray, upper: float, lower: float) -> NDArray:
    """w² · exp[0, −g_u w, −(g_u + g_v) w], the second divided difference below its largest exponent.

    Args:
        width: w ≥ 0, any shape.
        upper: g_u ≥ 0, from the largest to the middle exponent.
        lower: g_v ≥ 0, from the middle to the smallest.
    """
    whole = upper + lower
    result = np.empty_like(width)
    far = whole * width >= SERIES_BELOW
    w = width[far]
    if w.size:
        result[far] = (decay(w, upper) - np.exp(-upper * w) * decay(w, lower)) / whole
    result[~far] = _series(width[~far], upper, whole)
    return result


def _gaps(alpha: float, beta: float, gamma: float, sign: float) -> tuple[float, float]:
    """Coefficients of the gaps top→middle and middle→low when δ has this sign, each exact up to one rounding."""
    ordered = sorted([("base", 0.0), ("mixed", sign * alpha), ("teacher", sign * gamma)], key=lambda item: -item[1])
    between = {
        frozenset(("base", "mixed")): abs(alpha),
        frozenset(("mixed", "teacher")): abs(beta),
        frozenset(("base", "teacher")): abs(gamma),
    }
    names = [name for name, _ in ordered]
    return between[frozenset(names[:2])], between[frozenset(names[1:])]


def _series(width: NDArray, upper: float, whole: float) -> NDArray:
    """The series about the mean of the three exponents, for whole · width < 1 (truncated below 1e-17)."""
    mean = -(upper + whole) / 3
    a, b, c = -mean, -upper - mean, -whole - mean
    second, third = a * b + a * c + b * c, a * b * c
    coefficients = [1.0, 0.0, -second]
    while len(coefficients) <= SERIES_TERMS:
        coefficients.append(-second * coefficients[-2] + third * coefficients[-3])
    factorial, scaled = 2.0, []
    for k, coefficient in enumerate(coefficients):
        scaled.append(coefficient / factorial)
        factorial *= k + 3
    return width**2 * np.exp(mean * width) * np.polynomial.polynomial.polyval(width, scaled)
