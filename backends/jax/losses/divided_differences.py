"""Divided differences of exp with gaps taken from δ, never from two rounded exponents.

Source: McCurdy, Ng & Parlett, "Accurate computation of divided differences of the exponential function", Math. Comp. 43
(1984). XLA's own expm1 is off by up to 6 units in the last place in float32; the polynomial below by about 1.
"""

import math

import jax
import jax.numpy as jnp

from ...common.coefficients import SERIES
from .operands import Scalars

# below this 1 − e^(−x) comes from its polynomial; above it the subtraction loses nothing
_POLYNOMIAL_BOUND = math.log(2)
# degree of the polynomial for (e^x − 1)/x on ±ln 2, truncated below a tenth of the type's eps
_POLYNOMIAL_DEGREE = {"float32": 9, "float64": 17}
# exponents are held below this, so that 0 · e^x never is 0 · ∞
_LARGEST_EXPONENT = {"float32": 88.0, "float64": 709.0}


def relative_expm1(x: jax.Array) -> jax.Array:
    """(e^x − 1)/x for |x| ≤ ln 2, 1 at x = 0."""
    degree = _POLYNOMIAL_DEGREE[x.dtype.name]
    total = jnp.full_like(x, 1 / math.factorial(degree + 1))
    for k in range(degree - 1, -1, -1):
        total = total * x + 1 / math.factorial(k + 1)
    return total


def exp_difference(low: jax.Array, high: jax.Array, gap: jax.Array) -> jax.Array:
    """e^high − e^low from both exponentials `low`, `high` and the exponents' difference `gap` (may be ±∞ or NaN)."""
    return jnp.where(jnp.abs(gap) < _POLYNOMIAL_BOUND, low * (gap * relative_expm1(gap)), high - low)


def log1p(x: jax.Array) -> jax.Array:
    """log(1 + x) = 2 artanh(x / (2 + x)) by its series, for |x| ≤ 1/2.

    XLA's own is off by 120 eps in float64, and its simplifier turns the usual correction by (1 + x) − 1 into x.
    """
    u = x / (2 + x)
    total = jnp.zeros_like(x)
    for k in range(17, -1, -1):  # |u| ≤ 1/3: the next term is below 1e-18
        total = total * (u * u) + 1 / (2 * k + 1)
    return 2 * u * total


def first_order(w: jax.Array, g: jax.Array) -> jax.Array:
    """E(w; g) = (1 − e^(−g w))/g, and w at g = 0, for w ≥ 0 and g ≥ 0; same shape as `w`, `g` broadcast."""
    x = g * w
    large = (1 - jnp.exp(-x)) / jnp.where(g > 0, g, 1)
    return jnp.where(x < _POLYNOMIAL_BOUND, w * relative_expm1(-x), large)


def bounded_exp(x: jax.Array) -> jax.Array:
    """e^x, finite for every x."""
    return jnp.exp(jnp.minimum(x, _LARGEST_EXPONENT[x.dtype.name]))


def second_order(delta: jax.Array, base: jax.Array, c: Scalars) -> jax.Array:
    """δ² · exp[γt, αs+βt, γs], one class's term of the divergence; never negative.

    Args:
        delta: s − t, any shape.
        base: γ·max(s, t), same shape.
        c: scalars of (α, β).
    """
    w, positive = jnp.abs(delta), delta >= 0
    bound = SERIES[delta.dtype.name][0]
    small = c.whole * w < bound
    upper, lower = jnp.where(positive, c.first, c.second), jnp.where(positive, c.second, c.first)
    slope = jnp.where(
        small, jnp.where(positive, c.middle_positive, c.middle_negative), jnp.where(positive, c.top_positive, c.top_negative)
    )
    # e^x is multiplied in as two factors e^(x/2), so that none leaves the type's range early
    half = bounded_exp((base + slope * w) / 2)
    gaps = first_order(w, upper) - jnp.exp(-upper * w) * first_order(w, lower)
    series = jnp.zeros_like(delta)
    for coefficient in reversed(c.series):
        series = series * delta + coefficient
    series = (half * w) * (half * w) * (series * delta * delta + 0.5)
    # held, so that 0 · it never is 0 · ∞
    apart = jnp.minimum(gaps / jnp.where(c.whole > 0, c.whole, 1), jnp.finfo(delta.dtype).max)
    return jnp.where(small, series, half * (half * apart))
