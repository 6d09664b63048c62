"""Scalars that the evaluation of the α-β-divergence needs and that depend on (α, β) only.

With s = log p (teacher), t = log q (student) and δ = s − t the divergence is Σ δ² exp[γt, αs+βt, γs], a divided
difference of exp at three nodes. Relative to γt the nodes lie at 0, αδ and γδ. Their order depends on the signs of α, β
and γ = α+β alone and is reversed where δ < 0; their distances are exactly |α||δ|, |β||δ| and |γ||δ|. Everything here is
worked out once, so that the same compiled code serves every (α, β) as run-time values.

Source of the evaluation: McCurdy, Ng & Parlett, "Accurate computation of divided differences of the exponential
function", Math. Comp. 43 (1984).
"""

from typing import Any, NamedTuple

import numpy as np

# where the series takes over (in the largest gap times |δ|) and its last term, by computing type
SERIES = {"float32": (0.5, 5), "float64": (1.0, 15)}


class Coefficients(NamedTuple):
    """Scalars of one (α, β). "positive" and "negative" speak of the sign of δ; for δ = 0 either is right.

    Attributes:
        alpha, beta, gamma: the parameters, gamma = alpha + beta.
        whole: distance of the top from the low node, in units of |δ|.
        first: distance of the top from the middle node where δ > 0 (from the middle to the low node where δ < 0).
        second: distance of the middle from the low node where δ > 0 (from the top to the middle node where δ < 0).
        top_positive, top_negative: (a, b) such that the top node is a·s + b·t.
        larger_positive, larger_negative: the same for the larger of the nodes γt and αs+βt.
        series_positive, series_negative: c_2 … c_K of the series in |δ| about the mean of the nodes.
        mean_positive, mean_negative: that mean relative to the top node, in units of |δ| (never positive).
    """

    alpha: Any
    beta: Any
    gamma: Any
    whole: Any
    first: Any
    second: Any
    top_positive: tuple[Any, Any]
    top_negative: tuple[Any, Any]
    larger_positive: tuple[Any, Any]
    larger_negative: tuple[Any, Any]
    series_positive: tuple[Any, ...]
    series_negative: tuple[Any, ...]
    mean_positive: Any
    mean_negative: Any


def coefficients(alpha: Any, beta: Any, terms: int, xp: Any = np) -> Coefficients:
    """Work out the scalars for (α, β).

    Args:
        alpha, beta: finite real numbers, or scalars of the array library `xp`.
        terms: K, the last coefficient of the series (`SERIES`).
        xp: NumPy, or a library with its `where`, `maximum` and `abs` (jax.numpy, for traced α and β).
    """
    gamma = alpha + beta
    size_alpha, size_beta, size_gamma = xp.abs(alpha), xp.abs(beta), xp.abs(gamma)
    # Nodes relative to γt for δ = 1: A = 0 (γt), B = α (αs+βt), C = γ (γs); |AB| = |α|, |BC| = |β|, |AC| = |γ|.
    b_in_middle = alpha * beta >= 0
    c_in_middle = alpha * gamma >= 0
    whole = xp.where(b_in_middle, size_gamma, xp.where(c_in_middle, size_alpha, size_beta))
    # the gaps as (A's side, other side) of the middle node, then by which end is the top
    near_low = xp.where(b_in_middle, size_alpha, xp.where(c_in_middle, size_gamma, size_alpha))
    near_high = xp.where(b_in_middle, size_beta, xp.where(c_in_middle, size_beta, size_gamma))
    ascending = xp.where(b_in_middle, gamma > 0, alpha > 0)
    first = xp.where(ascending, near_high, near_low)
    second = xp.where(ascending, near_low, near_high)
    # with A in the middle the ends are B and C, and "ascending" means that B is the top: |AB| is then the first gap
    a_in_middle = xp.logical_not(xp.logical_or(b_in_middle, c_in_middle))
    first, second = xp.where(a_in_middle, second, first), xp.where(a_in_middle, first, second)

    zero = alpha * 0.0
    top, low = xp.maximum(xp.maximum(zero, alpha), gamma), xp.minimum(xp.minimum(zero, alpha), gamma)

    def weights(offset: Any) -> tuple[Any, Any]:
        """(a, b) of the node a·s + b·t that lies `offset`·δ above γt; exact for each of the three nodes."""
        is_b = xp.logical_and(offset == alpha, offset != gamma)
        return offset, xp.where(offset == 0, gamma, xp.where(is_b, beta, zero))

    def series(gap: Any) -> tuple[Any, tuple[Any, ...]]:
        mean = -(gap + whole) / 3
        x, y, z = -mean, -gap - mean, -whole - mean
        e2, e3 = x * y + y * z + z * x, x * y * z
        c = [zero + 1, zero]
        for _ in range(2, terms + 1):
            c.append(-e2 * c[-2] + (e3 * c[-3] if len(c) >= 3 else zero))
        return mean, tuple(c[2:])

    mean_positive, series_positive = series(first)
    mean_negative, series_negative = series(second)
    return Coefficients(
        alpha,
        beta,
        gamma,
        whole,
        first,
        second,
        weights(top),
        weights(low),
        weights(xp.maximum(zero, alpha)),
        weights(xp.minimum(zero, alpha)),
        series_positive,
        series_negative,
        mean_positive,
        mean_negative,
    )
