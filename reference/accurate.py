"""Functions of one number that keep their digits where the plain formula cancels."""

import numpy as np
from numpy.typing import NDArray

# 2/3, 2/5, …: of 2 artanh(y) = 2y + 2y³/3 + 2y⁵/5 + …, enough of them for |y| ≤ 1/3
_ARTANH = [2.0 / n for n in range(3, 37, 2)]


def log1p_gap(u: NDArray) -> NDArray:
    """u − ln(1 + u), not negative, for u ≥ −1; +inf at −1 and at +inf. Relatively accurate near 0 too."""
    small = np.abs(u) < 0.5
    v = np.where(small, u, 0.0)
    # ln(1 + u) = 2 artanh(y) with y = u/(2 + u), and u = 2y/(1 − y)
    y = v / (2.0 + v)
    series = y**2 * (2.0 / (1.0 - y) - y * np.polynomial.polynomial.polyval(y**2, _ARTANH))
    with np.errstate(divide="ignore", invalid="ignore"):  # at −1 and +inf
        return np.where(small, series, np.where(np.isposinf(u), np.inf, u - np.log1p(u)))
