"""What divergences to a mixture of teacher and student need, term by term and without cancellation.

A relative entropy to a mixture, KL(a ‖ (1−w) a + w b), is Σ a r(w (b/a − 1)) with r(v) = v − log(1 + v): the part
linear in v adds up to nothing and makes every term non-negative. r has a series where v is small; b/a comes from the
logarithm of the ratio, which is accurate even where a and b nearly agree.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .divided_differences import exp_difference, first_order, log1p, relative_expm1
from .rows import Rows

# e^x is evaluated up to here; beyond, log(1 − w + w e^x) is linear in x
_LARGEST_EXPONENT = {"float32": 80.0, "float64": 700.0}
# last power of z² in artanh's series, z² ≤ 1/9
_SERIES_DEGREE = {"float32": 8, "float64": 17}
_LOG_2 = 0.6931471805599453


def decay_and_complement(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """e^(−|x|) and 1 − e^(−|x|)."""
    w = jnp.abs(x)
    return jnp.exp(-w), first_order(w, 1.0)


def gap(rows: Rows) -> jax.Array:
    """|p − q| of each class, accurate where the two nearly agree."""
    return jnp.abs(exp_difference(rows.student_probability, rows.teacher_probability, rows.log_ratio))


class Mixture(NamedTuple):
    """1 − w + w e^x: `total`; `total` − 1, accurate where small: `change`; its logarithm, finite: `log`."""

    total: jax.Array
    change: jax.Array
    log: jax.Array


def mixture(x: jax.Array, weight: Any, rest: Any) -> Mixture:
    """Mix 1 and e^x with the weights `rest` and `weight`, which add up to 1 and broadcast to x."""
    held = jnp.minimum(x, _LARGEST_EXPONENT[x.dtype.name])
    part = weight * jnp.exp(held)
    total = rest + part
    change = jnp.where(jnp.abs(x) < _LOG_2, weight * (x * relative_expm1(x)), part - weight)
    return Mixture(total, change, jnp.where(jnp.abs(change) < 0.5, log1p(change), jnp.log(total)) + (x - held))


def excess(v: jax.Array) -> jax.Array:
    """r(v) = v − log(1 + v) for −1/2 ≤ v ≤ 1; never negative."""
    z = v / (2 + v)
    square = z * z
    total = jnp.zeros_like(v)
    for k in range(_SERIES_DEGREE[v.dtype.name], 0, -1):
        total = total * square + 1 / (2 * k + 1)
    # log(1 + v) = 2 artanh(z) and v − 2 z = v z
    return z * (v - 2 * square * total)


def entropy_to_mixture(own: jax.Array, other: jax.Array, log_ratio: jax.Array, weight: Any, rest: Any) -> jax.Array:
    """The terms a r(w (b/a − 1)) of KL(a ‖ rest·a + weight·b).

    Args:
        own, other: the probabilities a and b.
        log_ratio: log(b/a), ±FAR where one of them is 0.
        weight, rest: of b and of a in the mixture, scalars that add up to 1.
    """
    mixed = mixture(log_ratio, weight, rest)
    close = own * excess(jnp.clip(mixed.change, -0.5, 1))
    # own · change, without a product that overflows
    apart = weight * (other - own) - own * mixed.log
    return jnp.where((mixed.change >= -0.5) & (mixed.change <= 1), close, apart)


def share(x: jax.Array, weight: Any, rest: Any) -> tuple[jax.Array, jax.Array]:
    """weight e^x and rest in parts of their sum, each accurate on its own."""
    return 1 / (1 + rest / weight * jnp.exp(-x)), 1 / (1 + weight / rest * jnp.exp(x))
