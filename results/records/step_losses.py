"""The losses of a training's steps, as a record keeps them: few enough for a file of text, the same steps in every backend.

All of the first steps are kept and, of long trainings, evenly spread later ones. Losses that were computed in float32 are
written with the digits that a float32 has, so that they come back as the same numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# steps that are kept at most, and those at the beginning that are kept without a gap
MOST, FIRST = 600, 100
# the entry of `Record.details`
NAME = "step_losses"


def kept_steps(count: int) -> np.ndarray:
    """Numbers, from 1, of the steps that are kept of a training of `count` steps: int64, rising, the last one included."""
    if count <= MOST:
        return np.arange(1, count + 1)
    rest = np.linspace(FIRST, count, MOST - FIRST + 1)[1:]
    return np.concatenate([np.arange(1, FIRST + 1), np.round(rest).astype(np.int64)])


def keep(losses: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """What goes into `details["step_losses"]`: the number of steps, the kept ones unless all are, and their losses."""
    values = np.asarray(losses, np.float64)
    steps = kept_steps(len(values))
    chosen = values[steps - 1]
    narrow = chosen.astype(np.float32)
    if np.array_equal(narrow.astype(np.float64), chosen, equal_nan=True):
        chosen = np.array([float(str(value)) for value in narrow])
    kept: dict[str, Any] = {"count": len(values), "losses": chosen.tolist()}
    return kept if len(steps) == len(values) else kept | {"steps": steps.tolist()}


def read(details: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps from 1, losses) of a record's details, both `[kept]`; None where it keeps none."""
    kept = details.get(NAME)
    if not isinstance(kept, dict) or not kept.get("losses"):
        return None
    losses = np.asarray(kept["losses"], np.float64)
    steps = np.asarray(kept.get("steps") or np.arange(1, len(losses) + 1))
    return steps, losses


def relative_difference(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(steps, |a − b| / max(|a|, |b|)) at the steps that both keep; a loss that is not finite on one side gives inf."""
    steps, at_first, at_second = np.intersect1d(first[0], second[0], return_indices=True)
    a, b = first[1][at_first], second[1][at_second]
    with np.errstate(invalid="ignore"):
        size = np.maximum(abs(a), abs(b))
        apart = abs(a - b) / np.where(size == 0, 1.0, size)
    return steps, np.where(np.isfinite(apart), apart, np.inf)
