"""What changes from call to call without compiling again: the scalars of one (α, β, temperature)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from ...common.arguments import check_fraction, check_number, check_temperature
from ...common.coefficients import SERIES, coefficients

Number = float | torch.Tensor
Check = Callable[[str, float], float]


AB_CHECKS: Mapping[str, Check] = {"alpha": check_number, "beta": check_number}


def constant(name: str, value: Number, check: Check = check_number) -> Number:
    """A number of the user's as a checked float, without its gradient if it came as a tensor.

    In code that torch.compile traces it stays a scalar, float64 on the CPU, so that a schedule of it compiles nothing
    again; the operator checks it then, by `check_operands`.
    """
    if not torch.compiler.is_compiling():
        return check(name, value)
    if isinstance(value, torch.Tensor):
        return value.detach().reshape(()).to("cpu", torch.float64)
    return torch.ones((), dtype=torch.float64, device="cpu") * value


def pack(alpha: Number, beta: Number, temperature: Number) -> tuple[float, ...] | torch.Tensor:
    """The temperature, α and β as constants, in the order in which `evaluate` takes them.

    Raises:
        ValueError: a number that is not finite, a temperature that is not positive.
    """
    return pack_parameters({"alpha": alpha, "beta": beta}, AB_CHECKS, temperature)


def pack_parameters(
    parameters: Mapping[str, Number], checks: Mapping[str, Check], temperature: Number
) -> tuple[float, ...] | torch.Tensor:
    """The temperature and the parameters of another divergence; see `pack`."""
    numbers = [constant("temperature", temperature, lambda _, value: check_temperature(value))]
    numbers += [constant(name, value, checks[name]) for name, value in parameters.items()]
    return torch.stack(numbers) if torch.compiler.is_compiling() else tuple(numbers)


def check_operands(
    checks: Mapping[str, Check], parameters: Sequence[float], temperature: float, dtype: torch.dtype
) -> tuple[tuple[float, ...], float]:
    """Parameters and temperature that their checks pass, and that `dtype`, the computing type, can hold.

    Raises:
        ValueError: one that is not allowed, or whose products or inverse would leave the type's range.
    """
    limits, temperature = torch.finfo(dtype), check_temperature(temperature)
    if not limits.tiny <= 1 / temperature <= limits.max:
        between = f"between {1 / limits.max:.1e} and {1 / limits.tiny:.1e}"
        raise ValueError(f"temperature={temperature!r} is not allowed; computed in {_name(dtype)} it must lie {between}")
    for (name, check), value in zip(checks.items(), parameters, strict=True):
        (check_factor if check is check_fraction else check_size)(name, check(name, value), dtype)
    return tuple(parameters), temperature


def check_size(name: str, value: float, dtype: torch.dtype) -> float:
    """Return a number whose square `dtype`, the computing type, can hold; raise a ValueError that names it otherwise."""
    largest = math.sqrt(torch.finfo(dtype).max)
    if abs(value) > largest:
        raise ValueError(f"{name}={value!r} is not allowed; computed in {_name(dtype)} it must lie between ±{largest:.1e}")
    return value


def check_factor(name: str, value: float, dtype: torch.dtype) -> float:
    """`check_size` of a number that is a factor: one that `dtype` would make 0 is refused as well."""
    least = torch.finfo(dtype).tiny
    if 0 < abs(value) < least:
        raise ValueError(f"{name}={value!r} is not allowed; computed in {_name(dtype)} it must be 0 or at least {least:.1e}")
    return check_size(name, value, dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def farthest(dtype: torch.dtype, *parameters: float) -> float:
    """The distance of a logit from its row's largest, over the temperature, from which on its class counts as absent.

    Its probability is 0 by far. Nothing that is nearer leaves the range of `dtype` when it is multiplied by a parameter.
    """
    return torch.finfo(dtype).max / 16 / max([1.0, *map(abs, parameters)])


NAMES = (
    "inverse_temperature",
    "farthest",
    "alpha",
    "beta",
    "gamma",
    "theta",
    "mean_s",
    "mean_t",
    "alpha_gap",
    "beta_gap",
    "gamma_gap",
    "alpha_inverse",
    "beta_inverse",
    "gamma_inverse",
    "alpha_is_zero",
    "beta_is_zero",
    "gamma_is_zero",
    "whole",
    "whole_inverse",
    "first",
    "second",
    "top_s_positive",
    "top_t_positive",
    "top_s_negative",
    "top_t_negative",
    "larger_s_positive",
    "larger_t_positive",
    "larger_s_negative",
    "larger_t_negative",
    "no_teacher_value",
    "no_teacher_slope",
    "no_student_value",
    "no_student_slope",
    "no_student_offset",
)


class Pattern(NamedTuple):
    """What code is specialised on: never the values of α, β and T, only their signs.

    Attributes:
        first, second: which of the gaps |α|, |β|, |γ| separates top from middle and middle from low node for δ > 0.
        gamma_is_one: α + β = 1, where the centred gradient has a product form.
        terms: last term of the series, 5 in float32 and 15 in float64.
        finite: no logit is far from its row's largest (`execution.NEAR`), so that the work for absent classes is left out.
    """

    first: str
    second: str
    gamma_is_one: bool
    terms: int
    finite: bool = False


class Scalars:
    """The run-time scalars of a call, by name, read from one small tensor so that they are never compiled in."""

    def __init__(self, values: torch.Tensor) -> None:
        for name, value in zip(NAMES, values.unbind(), strict=False):
            setattr(self, name, value)
        self.series = values[len(NAMES) :].unbind()


def scalars_and_pattern(alpha: float, beta: float, temperature: float, dtype: torch.dtype) -> tuple[list[float], Pattern]:
    """Work out a call's scalars (in the order of `NAMES`, then the series) and what its code is specialised on.

    Args:
        alpha, beta, temperature: the parameters, already checked.
        dtype: computing type, torch.float32 or torch.float64.
    """
    theta, terms = SERIES["float64" if dtype == torch.float64 else "float32"]
    c = coefficients(alpha, beta, terms)
    # below this a gap is 0 to the last digit of every result, and its inverse would leave float32's range
    gaps = {
        name: (g if g > 1e-30 else 0.0) for name, g in (("alpha", abs(alpha)), ("beta", abs(beta)), ("gamma", abs(c.gamma)))
    }
    inverse = {name: 1 / g if g else 0.0 for name, g in gaps.items()}
    if alpha * beta >= 0:
        pair = ("beta", "alpha") if c.gamma > 0 else ("alpha", "beta")
    elif alpha * c.gamma >= 0:
        pair = ("beta", "gamma") if alpha > 0 else ("gamma", "beta")
    else:
        pair = ("alpha", "gamma") if alpha > 0 else ("gamma", "alpha")
    infinite = float("inf")

    def reciprocal(x: float) -> float:
        """1/x, and 0 where that is beyond the type: an infinite slope is left out."""
        return 1 / x if 1 / x < torch.finfo(dtype).max else 0.0

    whole = float(c.whole) if c.whole > 1e-30 else 0.0
    values = [
        1 / temperature,
        farthest(dtype, alpha, beta, c.gamma, c.gamma - 1),
        alpha,
        beta,
        c.gamma,
        theta,
        (alpha + c.gamma) / 3,
        (beta + c.gamma) / 3,
        gaps["alpha"],
        gaps["beta"],
        gaps["gamma"],
        inverse["alpha"],
        inverse["beta"],
        inverse["gamma"],
        *(float(gap == 0) for gap in gaps.values()),
        whole,
        1 / whole if whole else 0.0,
        c.first,
        c.second,
        *c.top_positive,
        *c.top_negative,
        *c.larger_positive,
        *c.larger_negative,
        1 / alpha / c.gamma if alpha > 0 and c.gamma > 0 else infinite,
        -reciprocal(alpha) if alpha > 0 else 0.0,
        1 / beta / c.gamma if beta > 0 and c.gamma > 0 else infinite,
        reciprocal(alpha) if beta == 0 and alpha > 0 else 0.0,
        reciprocal(beta) if beta > 0 and c.gamma == 0 else 0.0,
        *(factor / math.factorial(n + 2) for n, factor in enumerate(c.series_positive, start=2)),
    ]
    return [float(value) for value in values], Pattern(*pair, bool(c.gamma == 1), terms)
