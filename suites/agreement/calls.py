"""Samples evaluated together: one call for those that share parameters, temperature and classes, in few shapes.

Compilers that specialise on shapes would otherwise take most of the suite's time, and a call for four rows of ten
classes costs as much as one for hundreds.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from suites.agreement.samples import RANDOM_CLASSES, ROWS_AT_ONCE, Sample

# (student, teacher, parameters, temperature) → (values `[rows]`, gradient `[rows, classes]`)
Evaluate = Callable[..., tuple[np.ndarray, np.ndarray]]


def evaluated(evaluate: Evaluate, samples: Iterable[Sample]) -> Iterator[tuple[Sample, np.ndarray, np.ndarray]]:
    """Each sample with its values `[rows]` and its gradient `[rows, classes]`, neighbours of a kind in one call."""
    for _, group in groupby(samples, key=_kind):
        yield from _together(evaluate, list(group))


def _kind(sample: Sample) -> tuple:
    return sample.student.shape[-1], sample.temperature, tuple(sample.parameters.items())


def _together(evaluate: Evaluate, group: list[Sample]) -> Iterator[tuple[Sample, np.ndarray, np.ndarray]]:
    """One call for a group; rows of few classes are repeated until the call has the shape of the random rows'."""
    student, teacher = (np.concatenate([getattr(s, side) for s in group]) for side in ("student", "teacher"))
    rows, classes = student.shape
    if classes in RANDOM_CLASSES and rows:
        source = np.arange(max(rows, ROWS_AT_ONCE)) % rows
        student, teacher = student[source], teacher[source]
    values, gradient = evaluate(student, teacher, group[0].parameters, group[0].temperature)
    start = 0
    for sample in group:
        part = slice(start, start + len(sample.student))
        yield sample, values[part], gradient[part]
        start = part.stop
