"""How far a backend may be from the reference, by type of the logits and region of the grid.

Errors are relative: of a value to itself, of a gradient to its row's largest entry. Below `SMALLEST` they are relative
to `SMALLEST` instead. float16's gradients are rounded to its subnormal numbers, which is no error of the backend:
`STORAGE_STEP` is taken off first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-12
# half the distance of the smallest numbers that a type of a stored gradient has
STORAGE_STEP = {"float64": 0.0, "float32": 0.0, "bfloat16": 2.0**-134, "float16": 2.0**-25}
# the largest numbers of the types: of gradients, which are stored in the logits' type, and of values
LARGEST_GRADIENT = {
    "float64": np.finfo(np.float64).max,
    "float32": float(np.finfo(np.float32).max),
    "bfloat16": 3.3895313892515355e38,
    "float16": 65504.0,
}
LARGEST_VALUE = {"float64": np.finfo(np.float64).max} | dict.fromkeys(
    ("float32", "bfloat16", "float16"), float(np.finfo(np.float32).max)
)
# share of rows that must keep `usual`; the others must keep `always`
USUAL_SHARE = 0.998


@dataclass(frozen=True)
class Bound:
    """Allowed errors (value, gradient): of `USUAL_SHARE` of the rows of a region, and of every row."""

    usual: tuple[float, float]
    always: tuple[float, float]


# every (α, β) of the grid, logits of spread up to 10 and near
MODERATE = {
    "float64": Bound((1e-12, 1e-12), (1e-12, 1e-12)),
    "float32": Bound((1e-5, 1e-5), (1e-5, 1e-5)),
    # float32 inside, so the value is as good; the gradient is rounded to 8 and 11 bits when it is stored
    "bfloat16": Bound((1e-5, 8e-3), (1e-5, 8e-3)),
    "float16": Bound((1e-5, 1e-3), (1e-5, 1e-3)),
}
# α, β ≥ 0, spread up to 100 and near
POSITIVE = {
    "float64": MODERATE["float64"],
    # a difference of two float32 logits is rounded; on rare rows that alone costs 5e-5
    "float32": Bound((2e-6, 5e-6), (1e-4, 1e-4)),
    "bfloat16": MODERATE["bfloat16"],
    "float16": MODERATE["float16"],
}
REGIONS = {"positive": POSITIVE, "moderate": MODERATE}


def regions(parameters: Mapping[str, float], spread: str, random: bool = False) -> tuple[str, ...]:
    """Regions with a bound that a sample lies in; none where only NaN is forbidden.

    Args:
        parameters: of the divergence.
        spread: of the logits, as `reference.grid` names it.
        random: whether the rows are random ones; "moderate" speaks of the grid alone.
    """
    positive = all(value >= 0 for value in parameters.values())
    inside = ("positive",) if positive and spread in ("1", "10", "100", "near") else ()
    return (*inside, "moderate") if spread in ("1", "10", "near") and not random else inside


def value_errors(got: np.ndarray, want: np.ndarray, dtype: str) -> np.ndarray:
    """Relative errors of values `[rows]`; 0 where both are infinite, infinite where one is, NaN where `got` is."""
    want = np.where(np.abs(want) > LARGEST_VALUE[dtype], np.inf, want)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(got - want) / np.maximum(np.abs(want), SMALLEST)
    return np.where(np.isinf(got) | np.isinf(want), np.where(got == want, 0.0, np.inf), errors)


def gradient_errors(got: np.ndarray, want: np.ndarray, largest: np.ndarray, dtype: str) -> np.ndarray:
    """Largest error of each row's gradient relative to its largest entry.

    Args:
        got, want: entries `[rows, entries]`.
        largest: largest entry of the whole row `[rows]`.
        dtype: type in which the gradient was stored.

    Returns:
        `[rows]`; entries beyond the type's range must be infinite with the right sign.
    """
    want = np.where(np.abs(want) > LARGEST_GRADIENT[dtype], np.copysign(np.inf, want), want)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got - want)
        difference = np.where((difference <= STORAGE_STEP[dtype]), 0.0, difference - STORAGE_STEP[dtype])
        errors = difference / np.maximum(largest, SMALLEST)[:, np.newaxis]
    errors = np.where(np.isinf(got) | np.isinf(want), np.where(got == want, 0.0, np.inf), errors)
    return errors.max(axis=-1)
