"""Errors near the singular lines α = 0, β = 0 and α + β = 0: at which distance does a formula lose its digits?

A formula that divides by α, β or α + β cancels more and more towards a line; one that does not shows no line at all.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference import published_code
from reference.divergences import ab_divergence
from reference.exact import definition, numbers
from reference.grid import draw_logits

# the point (α, β) at a distance from the place x of each line
LINES: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "β → 0": lambda x, distance: (x, distance),
    "α → 0": lambda x, distance: (distance, x),
    "α + β → 0": lambda x, distance: (x, distance - x),
}
PLACES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
# 0 is the line itself
DISTANCES = (0.0, *(10.0**k for k in range(-15, 0)))


@cache
def _inputs() -> tuple[NDArray, NDArray]:
    """Student and teacher logits [2, 10], float32."""
    return draw_logits(10, "1", "float32", 2, 31)


@cache
def _truth(line: str) -> NDArray:
    """The divergence [distances, places, 2], correctly rounded."""
    student, teacher = _inputs()
    rows = [definition.exact_row(s.tolist(), t.tolist()) for s, t in zip(student, teacher, strict=True)]
    exact = np.empty((len(DISTANCES), len(PLACES), len(rows)))
    for i, distance in enumerate(DISTANCES):
        for j, place in enumerate(PLACES):
            alpha, beta = (numbers.to_raw("parameter", x) for x in LINES[line](place, distance))
            exact[i, j] = [float(row.value(alpha, beta, digits=20)) for row in rows]
    return exact


def error_map(evaluate: Callable[[NDArray, NDArray, float, float], NDArray]) -> dict[str, list[list[float]]]:
    """Largest relative error of two rows at each distance and place of each line.

    Args:
        evaluate: (student_logits [2, 10], teacher_logits [2, 10], alpha, beta) → values [2]; float32 logits.

    Returns:
        By line in `LINES`: errors [len(DISTANCES)][len(PLACES)]; inf where a value is not finite.
    """
    by_line = {}
    for line, point in LINES.items():
        truth = _truth(line)
        errors = np.empty(truth.shape[:2])
        for i, distance in enumerate(DISTANCES):
            for j, place in enumerate(PLACES):
                values = np.asarray(evaluate(*_inputs(), *point(place, distance)), np.float64)
                with np.errstate(invalid="ignore"):
                    error = np.abs(values / truth[i, j] - 1).max()
                errors[i, j] = error if np.isfinite(error) else np.inf
        by_line[line] = errors.tolist()
    return by_line


def published(student: NDArray, teacher: NDArray, alpha: float, beta: float) -> NDArray:
    """The published code in the type of the logits, for `error_map`."""
    p, q = published_code.softmax(teacher), published_code.softmax(student)
    return published_code.ab_divergence(p, q, alpha, beta)


def numpy_reference(student: NDArray, teacher: NDArray, alpha: float, beta: float) -> NDArray:
    """`reference.divergences` in float64, for `error_map`."""
    return ab_divergence(student, teacher, alpha, beta, reduction="none")


@cache
def known_maps() -> Mapping[str, dict[str, list[list[float]]]]:
    """The maps that need no backend, by title."""

    def wide(student: NDArray, teacher: NDArray, *point: Any) -> NDArray:
        return published(student.astype(np.float64), teacher.astype(np.float64), *point)

    return {
        "published code, float32": error_map(published),
        "published code, float64": error_map(wide),
        "NumPy reference, float64": error_map(numpy_reference),
    }
