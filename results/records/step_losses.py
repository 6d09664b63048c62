"""The losses of a training's steps, as a record keeps them: few enough for a file of text, the same steps in every backend.

All of the first steps are kept and, of long trainings, evenly spread later ones. Losses that were computed in float32 are
written with the digits that a float32 has, so that they come back as the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

#: steps that are kept at most, and those at the beginning that are kept without a gap
MOST, FIRST = 600, 100
#: the entry of `Record.details`
NAME = "step_losses"


def kept_steps(count: int) -> numpy.ndarray:
    """Numbers, from 1, of the steps that are kept of a training of `count` steps: int64, rising, the last one included."""
    if count <= MOST:
        return numpy.arange(1, count + 1)
    rest = numpy.linspace(FIRST, count, MOST - FIRST + 1)[1:]
    return numpy.concatenate([numpy.arange(1, FIRST + 1), numpy.round(rest).astype(numpy.int64)])


def keep(losses: Sequence[float] | numpy.ndarray) -> dict[str, Any]:
    """What goes into `details["step_losses"]`: the number of steps, the kept ones unless all are, and their losses."""
    values = numpy.asarray(losses, numpy.float64)
    steps = kept_steps(len(values))
    chosen = values[steps - 1]
    narrow = chosen.astype(numpy.float32)
    if numpy.array_equal(narrow.astype(numpy.float64), chosen, equal_nan=True):
        chosen = numpy.array([float(str(value)) for value in narrow])
    found: dict[str, Any] = {"count": len(values), "losses": chosen.tolist()}
    return found if len(steps) == len(values) else found | {"steps": steps.tolist()}


def read(details: dict[str, Any]) -> tuple[numpy.ndarray, numpy.ndarray] | None:
    """(steps from 1, losses) of a record's details, both `[kept]`; None where it keeps none."""
    found = details.get(NAME)
    if not isinstance(found, dict) or not found.get("losses"):
        return None
    losses = numpy.asarray(found["losses"], numpy.float64)
    steps = numpy.asarray(found.get("steps") or numpy.arange(1, len(losses) + 1))
    return steps, losses


def relative_difference(
    first: tuple[numpy.ndarray, numpy.ndarray], second: tuple[numpy.ndarray, numpy.ndarray]
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(steps, |a − b| / max(|a|, |b|)) at the steps that both keep; a loss that is not finite on one side gives inf."""
    steps, at_first, at_second = numpy.intersect1d(first[0], second[0], return_indices=True)
    a, b = first[1][at_first], second[1][at_second]
    with numpy.errstate(invalid="ignore"):
        size = numpy.maximum(abs(a), abs(b))
        found = abs(a - b) / numpy.where(size == 0, 1.0, size)
    return steps, numpy.where(numpy.isfinite(found), found, numpy.inf)
