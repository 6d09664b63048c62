"""Scalars of one (α, β, temperature), packed into one vector so that compiled code serves every choice.

The framework-free `backends.common.coefficients` orders the three exponents; here they are restated as JAX evaluates them:
every exponent is γ·max(s, t) plus a multiple of w = |δ|. Where α + β > 0 the first part is small for the classes that
matter, and where α + β = 0 it vanishes, so neither loses digits in float32.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import check_not_negative, check_number, check_temperature
from ...common.coefficients import SERIES, coefficients


class Scalars(NamedTuple):
    """What the evaluation needs of (α, β, temperature), each a scalar.

    "positive" and "negative" speak of the sign of δ = log p − log q. `no_…` belong to classes with one logit −inf:
    the value is e^(γ·the other log-probability) times the factor, infinite where the limit is.

    Attributes:
        temperature, alpha, gamma: the parameters, gamma = alpha + beta.
        farthest: of `farthest`.
        whole, first, second: gaps of the exponents in units of w (`backends.common.coefficients.Coefficients`).
        top_positive, top_negative: the largest of the three exponents is γ·max(s,t) + top·w.
        middle_positive, middle_negative: the same for the exponents' mean.
        larger_positive, larger_negative: the same for the larger of γt and αs+βt.
        cross_positive, cross_negative: the same for αs+βt itself.
        no_teacher_value, no_student_value: factors of the divergence's term.
        no_teacher_slope, no_student_slope: factors of h = −∂D/∂t; 0 where the limit is not finite.
        series: c_k / (k+2)! of the series in δ, k = 2 … K.
    """

    temperature: Any
    farthest: Any
    alpha: Any
    gamma: Any
    whole: Any
    first: Any
    second: Any
    top_positive: Any
    top_negative: Any
    middle_positive: Any
    middle_negative: Any
    larger_positive: Any
    larger_negative: Any
    cross_positive: Any
    cross_negative: Any
    no_teacher_value: Any
    no_student_value: Any
    no_teacher_slope: Any
    no_student_slope: Any
    series: tuple[Any, ...]


def farthest(dtype: Any, largest: Any = 1.0) -> Any:
    """The distance of a logit from its row's largest, over the temperature, from which on its class counts as absent.

    Its probability is 0 by far, as that of the least number is, with which libraries mask logits. Nothing that is nearer
    leaves the range of `dtype` when it is multiplied by a parameter of up to `largest`.
    """
    return float(np.finfo(dtype).max) / 16 / largest


def _derive(alpha: Any, beta: Any, temperature: Any, dtype: np.dtype, xp: Any) -> Scalars:
    terms = SERIES[np.dtype(dtype).name][1]
    c = coefficients(alpha, beta, terms, xp)
    gamma = c.gamma
    top_positive, top_negative = c.top_positive[0] - gamma, -c.top_negative[0]
    safe_alpha, safe_beta, safe_gamma = (xp.where(x > 0, x, 1.0) for x in (alpha, beta, gamma))
    infinity = xp.where(alpha == alpha, np.inf, np.inf)
    beta_only_limit = xp.where(gamma == 0, 1 / safe_beta, 0.0)  # q = 0, β > 0, γ ≥ 0
    factorial = np.cumprod(np.arange(1.0, terms + 3))
    return Scalars(
        temperature=temperature,
        farthest=farthest(dtype, xp.maximum(xp.abs(alpha), xp.maximum(xp.abs(beta), xp.abs(gamma))) + 1),
        alpha=alpha,
        gamma=gamma,
        whole=c.whole,
        first=c.first,
        second=c.second,
        top_positive=top_positive,
        top_negative=top_negative,
        middle_positive=top_positive + c.mean_positive,
        middle_negative=top_negative + c.mean_negative,
        larger_positive=c.larger_positive[0] - gamma,
        larger_negative=-c.larger_negative[0],
        cross_positive=-beta,
        cross_negative=-alpha,
        no_teacher_value=xp.where((alpha > 0) & (gamma > 0), 1 / (safe_alpha * safe_gamma), infinity),
        no_student_value=xp.where((beta > 0) & (gamma > 0), 1 / (safe_beta * safe_gamma), infinity),
        no_teacher_slope=xp.where(alpha > 0, -1 / safe_alpha, 0.0),
        no_student_slope=xp.where(
            beta == 0, xp.where(alpha > 0, 1 / safe_alpha, 0.0), xp.where((beta > 0) & (gamma >= 0), beta_only_limit, 0.0)
        ),
        # the mirrored series (δ < 0) has coefficients (−1)^k c_k, hence one series in δ serves both signs
        series=tuple(value / factorial[k + 1] for k, value in enumerate(c.series_positive, start=2)),
    )


@lru_cache(maxsize=256)
def _pack_numbers(alpha: float, beta: float, temperature: float, dtype: str) -> np.ndarray:
    """Work everything out in float64 and round once; what is finite stays so, for 0 times it must be 0."""
    with np.errstate(all="ignore"):
        derived = _derive(np.float64(alpha), np.float64(beta), temperature, np.dtype(dtype), np)
    largest = np.finfo(dtype).max
    exact = np.nan_to_num([*derived[:-1], *derived.series], nan=0.0, posinf=np.inf, neginf=-np.inf)
    packed = np.where(np.isinf(exact), exact, np.clip(exact, -largest, largest)).astype(dtype)
    packed[len(derived) - 1 :] = np.clip(packed[len(derived) - 1 :], -largest, largest)  # the series
    packed.flags.writeable = False
    return packed


def _scalar(name: str, value: Any, dtype: np.dtype) -> jax.Array:
    """A number or traced scalar as a constant of the given type."""
    if np.shape(value) != ():
        raise ValueError(f"{name} has shape {np.shape(value)}; it must be a scalar (use jax.vmap for several values)")
    return jax.lax.stop_gradient(jnp.asarray(value, dtype))


def check_in_type(name: str, number: float, dtype: np.dtype, smallest: float = 0.0, root: int = 1) -> float:
    """Return a number that losses in `dtype` can be computed with, or raise a ValueError that names it.

    Args:
        name, number: of the argument.
        dtype: float32 or float64.
        smallest: the number's least size.
        root: the power of it that the type must hold.
    """
    largest = float(np.finfo(dtype).max) ** (1 / root)
    if not smallest <= abs(number) <= largest:
        raise ValueError(
            f"{name}={number!r} is not allowed; logits in {np.dtype(dtype).name} need one of a size between {smallest:.2g} and "
            f"{largest:.2g}"
        )
    return number


def check_concrete(given: Mapping[str, Any], dtype: np.dtype, checks: Mapping[str, Callable] = MappingProxyType({})) -> list:
    """Each value as a checked float; a traced one cannot be checked and stays as it is.

    Args:
        given: values by name.
        dtype: the type to compute in. What may not be 0 may not vanish from its normal numbers either.
        checks: (name, value) -> float by name, where `check_number` is not enough; of the temperature its own.
    """
    checks = {"temperature": lambda _, value: check_temperature(value), **checks}
    checked = []
    for name, value in given.items():
        if isinstance(value, jax.core.Tracer):
            checked.append(value)
        else:
            check = checks.get(name, check_number)
            smallest = 0.0 if check in (check_number, check_not_negative) else float(np.finfo(dtype).tiny)
            root = 1 if name == "temperature" else 2
            checked.append(check_in_type(name, check(name, value), dtype, smallest, root))
    return checked


def pack_parameters(
    parameters: Mapping[str, Any], checks: Mapping[str, Callable], temperature: Any, dtype: np.dtype
) -> jax.Array | np.ndarray:
    """The temperature, the parameters of another divergence, checked, and what each lacks to 1, as one vector; see `pack`.

    What a parameter lacks to 1 is taken before it is rounded to `dtype`.
    """
    given = {"temperature": temperature, **parameters}
    checked = check_concrete(given, dtype, checks)
    if all(isinstance(x, float) for x in checked):
        return np.array([checked[0], farthest(dtype), *checked[1:], *(1 - x for x in checked[1:])], dtype)
    first, *others = zip(given, checked, strict=True)
    named = [first, ("farthest", farthest(dtype)), *others, *((name, 1 - value) for name, value in others)]
    return jnp.stack([_scalar(name, value, np.dtype(dtype)) for name, value in named])


def pack(alpha: Any, beta: Any, temperature: Any, dtype: np.dtype) -> jax.Array | np.ndarray:
    """Return the constants as one vector of `dtype` (float32 or float64).

    Args:
        alpha, beta: finite real numbers or traced scalars.
        temperature: positive number or traced scalar.
        dtype: the computing type.

    Raises:
        ValueError: a concrete argument is not finite, the temperature not positive, or something not a scalar. Traced
            values cannot be checked and are not.
    """
    dtype = np.dtype(dtype)
    given = {"alpha": alpha, "beta": beta, "temperature": temperature}
    checked = check_concrete(given, dtype)
    if all(isinstance(x, float) for x in checked):
        return _pack_numbers(*checked, dtype.name)
    numbers = (_scalar(name, value, dtype) for name, value in zip(given, checked, strict=True))
    derived = _derive(*numbers, dtype, jnp)
    return jnp.stack([jnp.asarray(x, dtype) for x in (*derived[:-1], *derived.series)])


def unpack(packed: jax.Array) -> Scalars:
    """Read the vector that `pack` made."""
    values = [packed[i] for i in range(packed.shape[0])]
    named = len(Scalars._fields) - 1
    return Scalars(*values[:named], series=tuple(values[named:]))


def point(alpha: float, beta: float, dtype: np.dtype) -> Scalars:
    """The constants of a fixed (α, β), as numbers of `dtype`."""
    return unpack(_pack_numbers(alpha, beta, 1.0, np.dtype(dtype).name))
