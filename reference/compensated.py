"""Unevaluated sums of two float64 numbers (high + low), for exponents that float64 alone rounds too coarsely.

An exponent of size 1000 rounded to float64 makes its exponential 1e-13 wrong. Kept as high + low it costs nothing.
Source: Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18 (1971).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SPLITTER = 134217729.0  # 2^27 + 1 halves a 53-bit significand


class Pair(NamedTuple):
    """high + low, |low| ≤ half a unit in the last place of high; low is 0 where high is not finite."""

    high: NDArray
    low: NDArray


def pair(high: NDArray | float, low: NDArray | float = 0.0) -> Pair:
    """A pair whose low part is dropped where it is not finite (after an overflow, say)."""
    return Pair(np.asarray(high), np.where(np.isfinite(high) & np.isfinite(low), low, 0.0))


def two_sum(x: NDArray | float, y: NDArray | float) -> Pair:
    """x + y without error (Knuth)."""
    total = np.add(x, y)
    part = total - x
    return pair(total, (x - (total - part)) + (y - part))


def two_difference(x: NDArray | float, y: NDArray | float) -> Pair:
    """x − y without error."""
    return two_sum(x, np.negative(y))


def two_product(x: NDArray | float, y: NDArray | float) -> Pair:
    """x · y without error (Dekker, Veltkamp)."""
    product = np.multiply(x, y)
    x_high, x_low = _split(x)
    y_high, y_low = _split(y)
    return pair(product, ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low)


def add(x: Pair, y: Pair) -> Pair:
    """x + y, to about 100 bits unless it cancels."""
    total = two_sum(x.high, y.high)
    return _normalise(total.high, total.low + (x.low + y.low))


def subtract(x: Pair, y: Pair) -> Pair:
    """x − y, to about 100 bits unless it cancels."""
    return add(x, Pair(-y.high, -y.low))


def multiply(x: Pair, y: Pair) -> Pair:
    """x · y, to about 100 bits."""
    product = two_product(x.high, y.high)
    return _normalise(product.high, product.low + (x.high * y.low + x.low * y.high))


def divide(x: Pair, divisor: float) -> Pair:
    """x / divisor, to about 100 bits."""
    quotient = x.high / divisor
    back = two_product(quotient, divisor)
    return _normalise(quotient, ((x.high - back.high) - back.low + x.low) / divisor)


def choose(condition: NDArray, x: Pair, y: Pair) -> Pair:
    """x where the condition holds, else y."""
    return Pair(np.where(condition, x.high, y.high), np.where(condition, x.low, y.low))


def exp(x: Pair) -> NDArray:
    """exp(high + low) in float64."""
    exponential = np.exp(x.high)
    return np.where(x.low == 0.0, exponential, exponential + exponential * x.low)


def _normalise(high: NDArray, low: NDArray) -> Pair:
    total = np.add(high, low)
    return pair(total, low - (total - high))


def _split(x: NDArray | float) -> tuple[NDArray, NDArray]:
    scaled = np.multiply(x, _SPLITTER)
    high = scaled - (scaled - x)
    return high, x - high
