"""What changes from call to call without compiling again: parameters and temperature, as one float64 vector."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from ...common.arguments import check_number, check_temperature
from ...common.coefficients import SERIES, Coefficients, coefficients

LONGEST_SERIES = max(terms for _, terms in SERIES.values())
# |α| and |β|, whose fifth powers, which float32's series has, are numbers of that type
LARGEST_EXPONENT = 1e7


def is_dynamic(value: Any) -> bool:
    """Whether a parameter is a tensor, whose value is known at run time only."""
    return tf.is_tensor(value) or isinstance(value, tf.Variable)


def checked_scalar(name: str, value: Any, check: Callable[[str, Any], float] = check_number) -> Any:
    """A parameter as a checked float, or as a float64 tensor without a check; it is never differentiated."""
    if is_dynamic(value):
        return tf.stop_gradient(tf.cast(tf.convert_to_tensor(value), tf.float64))
    return check(name, value)


def as_float64(value: Any) -> tf.Tensor:
    """A scalar that `checked_scalar` has passed as a float64 tensor; `tf.cast` alone takes a float through float32."""
    return tf.cast(value, tf.float64) if is_dynamic(value) else tf.constant(value, tf.float64)


def checked_temperature(temperature: Any) -> Any:
    """`checked_scalar` of a temperature."""
    return checked_scalar("temperature", temperature, _check_normal_temperature)


def _check_normal_temperature(_: str, value: float) -> float:
    number = check_temperature(value)
    if number < sys.float_info.min:
        raise ValueError(f"temperature={value!r} is not allowed; it must be at least {sys.float_info.min:.1e}")
    return number


def _check_exponent(name: str, value: float) -> float:
    number = check_number(name, value)
    if abs(number) > LARGEST_EXPONENT:
        raise ValueError(f"{name}={value!r} is not allowed; it must lie between ±{LARGEST_EXPONENT:.0e}")
    return number


def pack(alpha: Any, beta: Any, temperature: Any) -> tf.Tensor:
    """All that the kernels need to know of (α, β, temperature), as one float64 vector.

    Numbers are checked and worked out by NumPy once; tensors are worked out in the graph. The vector has as many terms
    of the series as float64 needs, for any computing type.
    """
    if any(map(is_dynamic, (alpha, beta, temperature))):
        # not differentiated: the divergence's derivative with respect to its parameters is not offered
        alpha, beta = (as_float64(checked_scalar(name, x)) for name, x in (("alpha", alpha), ("beta", beta)))
        scalars = _flatten(coefficients(alpha, beta, LONGEST_SERIES, xp=tf))
        return tf.stack([as_float64(checked_temperature(temperature)), *scalars])
    numbers = _check_exponent("alpha", alpha), _check_exponent("beta", beta), checked_temperature(temperature)
    return tf.constant(_packed_numbers(*numbers))


def pack_parameters(
    parameters: Mapping[str, Any], checks: Mapping[str, Callable[[str, Any], float]], temperature: Any
) -> tf.Tensor:
    """The temperature and the parameters of another divergence, checked, as one float64 vector; see `pack`."""
    checked = (checked_scalar(name, value, checks[name]) for name, value in parameters.items())
    scalars = [checked_temperature(temperature), *checked]
    return tf.stack([as_float64(x) for x in scalars]) if any(map(is_dynamic, scalars)) else tf.constant(scalars, tf.float64)


@lru_cache(maxsize=1024)
def _packed_numbers(alpha: float, beta: float, temperature: float) -> np.ndarray:
    return np.array([temperature, *_flatten(coefficients(alpha, beta, LONGEST_SERIES))], np.float64)


def _flatten(scalars: Coefficients) -> list[Any]:
    """A Coefficients' numbers in a fixed order."""
    return [v for field in scalars for v in (field if isinstance(field, tuple) else (field,))]


def unpack(packed: tf.Tensor, dtype: tf.DType) -> tuple[Coefficients, Coefficients]:
    """The coefficients as scalars of the computing type and in float64."""
    template = coefficients(1.0, 1.0, LONGEST_SERIES)
    flat = tf.unstack(packed[1:], num=len(_flatten(template)))
    terms = SERIES[dtype.name][1] - 1  # c_2 … c_K

    def rebuild(values: Iterator[tf.Tensor]) -> Coefficients:
        fields = (tuple(next(values) for _ in f) if isinstance(f, tuple) else next(values) for f in template)
        built = Coefficients(*fields)
        return built._replace(series_positive=built.series_positive[:terms], series_negative=built.series_negative[:terms])

    return rebuild(tf.cast(v, dtype) for v in flat), rebuild(iter(flat))
