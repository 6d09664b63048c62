"""Which rows keep a margin from the points where a loss switches, so that every precision decides alike.

Each function takes (student_logits [N, C], teacher_logits [N, C], *parameters, temperature) and returns bool [N]. Rows
with p = q are defined, and kept.
"""

import numpy as np
from numpy.typing import NDArray

from reference.combinations import alpha_divergence_and_gradient, entropies
from reference.distributions import distributions

# relative distances that float32 arithmetic is sure of
_GAP, _HEAD, _ENTROPY, _VALUE = 1e-5, 2e-6, 1e-5, 2e-5
# entropies below this are 0 in float32
_SMALLEST_ENTROPY = 1e-30


def total_variation(student: NDArray, teacher: NDArray, *, temperature: float = 1.0) -> NDArray:
    """No |ln(p/q)| is below 1e-5 of the row's largest, unless all are 0."""
    gap = np.abs(distributions(*_float64(student, teacher), temperature).delta.high)
    return (gap > _GAP * gap.max(axis=-1, keepdims=True)).all(axis=-1) | (gap == 0).all(axis=-1)


def adaptive_kl(student: NDArray, teacher: NDArray, head: float, *, temperature: float = 1.0) -> NDArray:
    """No cumulative probability of the teacher is within 2e-6 of `head`."""
    student, teacher = _float64(student, teacher)
    row = distributions(student, teacher, temperature)
    cumulative = np.cumsum(-np.sort(-np.exp(row.log_p.high), axis=-1), axis=-1)
    return (np.abs(cumulative - head) > _HEAD).all(axis=-1) | _same(student, teacher, temperature)


def bidirectional_kl(student: NDArray, teacher: NDArray, low: float, high: float, *, temperature: float = 1.0) -> NDArray:
    """The entropies differ by more than 1e-5 of the larger, which float32 can represent."""
    student, teacher = _float64(student, teacher)
    first, second = entropies(student, teacher, temperature)
    larger = np.maximum(first, second)
    apart = (np.abs(first - second) > _ENTROPY * larger) & (larger > _SMALLEST_ENTROPY)
    return apart | _same(student, teacher, temperature)


def alphanet(student: NDArray, teacher: NDArray, alpha_min: float, alpha_max: float, *, temperature: float = 1.0) -> NDArray:
    """The two values differ by more than 2e-5 of the larger."""
    student, teacher = _float64(student, teacher)
    first, second = (
        alpha_divergence_and_gradient(student, teacher, alpha, temperature=temperature, reduction="none")[0]
        for alpha in (alpha_min, alpha_max)
    )
    return (np.abs(first - second) > _VALUE * np.maximum(first, second)) | _same(student, teacher, temperature)


def _same(student: NDArray, teacher: NDArray, temperature: float) -> NDArray:
    return (distributions(student, teacher, temperature).delta.high == 0).all(axis=-1)


def _float64(student: NDArray, teacher: NDArray) -> tuple[NDArray, NDArray]:
    return np.asarray(student, dtype=np.float64), np.asarray(teacher, dtype=np.float64)
