"""Rows of two distributions from logits, kept accurate where they nearly agree, and what all divergences share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference import compensated
from reference.arguments import check_logits, check_reduction, check_temperature, divisor, row_weights
from reference.compensated import Pair

# (student [N, C], teacher [N, C], temperature) of rows with a distribution on both sides -> values [N], gradients
RowFunction = Callable[[NDArray, NDArray, float], tuple[NDArray, NDArray]]


def evaluate_rows(
    rows: RowFunction,
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> tuple[NDArray | np.float64, NDArray]:
    """Check the arguments, evaluate the rows that have a distribution, and reduce; the others are NaN unless left out.

    Mask, weights and reductions are those of `reference.divergences.ab_divergence`.
    """
    temperature, reduction = check_temperature(temperature), check_reduction(reduction)
    student, teacher = check_logits(student_logits, teacher_logits)
    counted = row_weights(student.shape[:-1], mask, weights)
    selected = counted > 0
    values = np.zeros(selected.shape)
    gradient = np.zeros(student.shape)
    usable = selected & has_distribution(student) & has_distribution(teacher)
    values[selected & ~usable] = np.nan
    gradient[selected & ~usable] = np.nan
    if usable.any():
        with np.errstate(all="ignore"):  # overflow and 0/0 are resolved class by class
            values[usable], gradient[usable] = rows(student[usable], teacher[usable], temperature)
    return reduce_rows(values, gradient, counted, reduction, normalizer)


def reduce_rows(
    values: NDArray, gradient: NDArray, weights: NDArray, reduction: str, normalizer: float | None = None
) -> tuple[NDArray | np.float64, NDArray]:
    """Values [...] and gradients [..., C] of single rows, weighted and reduced; both are 0 in rows of weight 0."""
    total = divisor(weights, reduction, normalizer)
    values, gradient = weights * values, weights[..., None] * gradient
    if reduction == "none":
        return values, gradient
    return np.sum(values, where=weights > 0) / total, gradient / total


def has_distribution(logits: NDArray) -> NDArray:
    """Which rows [...] hold a finite logit and neither NaN nor +inf."""
    return ~(np.isnan(logits) | np.isposinf(logits)).any(axis=-1) & np.isfinite(logits).any(axis=-1)


@dataclass(frozen=True)
class Row:
    """Rows [N, C] of two distributions; log p, log q and δ are 0 where a side that they need forbids the class."""

    log_p: Pair
    log_q: Pair
    delta: Pair
    relative_delta: Pair  # δ before the difference of the log-partitions is taken off; the same for all classes
    q: NDArray
    both: NDArray  # both sides allow the class
    student_only: NDArray  # p = 0 < q
    teacher_only: NDArray  # q = 0 < p
    top_class: NDArray  # [N, 1] the student's most probable class


def distributions(student: NDArray, teacher: NDArray, temperature: float) -> Row:
    """p = softmax(teacher/T) and q = softmax(student/T) of rows [N, C] that have a distribution."""
    allowed_s, allowed_t = np.isfinite(student), np.isfinite(teacher)
    top_s, top_t = student.max(axis=-1, keepdims=True), teacher.max(axis=-1, keepdims=True)
    # Differences first, temperature last: dividing rounded logits would cost what is left of a small difference.
    below_s = compensated.divide(compensated.two_difference(_finite(student, allowed_s), top_s), temperature)
    below_t = compensated.divide(compensated.two_difference(_finite(teacher, allowed_t), top_t), temperature)
    # A logit near the least float64, as masks put there, may be out of its range once the temperature has divided it.
    allowed_s, allowed_t = allowed_s & np.isfinite(below_s.high), allowed_t & np.isfinite(below_t.high)
    both = allowed_s & allowed_t
    weight_s = np.where(allowed_s, compensated.exp(below_s), 0.0)
    weight_t = np.where(allowed_t, compensated.exp(below_t), 0.0)
    apart = compensated.two_difference(_finite(teacher, both), _finite(student, both))
    apart = compensated.subtract(apart, compensated.two_difference(top_t, top_s))
    apart = compensated.divide(apart, temperature)
    close = both & (np.abs(apart.high) < 1.0)
    change = np.where(close, weight_s * np.expm1(apart.high + apart.low), weight_t - weight_s)
    sum_s, sum_t = weight_s.sum(axis=-1, keepdims=True), weight_t.sum(axis=-1, keepdims=True)
    ratio = change.sum(axis=-1, keepdims=True) / sum_s
    partition = np.where(np.abs(ratio) < 0.5, np.log1p(ratio), np.log(sum_t / sum_s))
    log_sum_s, log_sum_t = np.log(sum_s), np.log(sum_t)
    return Row(
        log_p=_where(allowed_t, compensated.subtract(below_t, compensated.pair(log_sum_t))),
        log_q=_where(allowed_s, compensated.subtract(below_s, compensated.pair(log_sum_s))),
        delta=_where(both, compensated.subtract(apart, compensated.pair(partition))),
        relative_delta=_where(both, apart),
        q=weight_s / sum_s,
        both=both,
        student_only=allowed_s & ~allowed_t,
        teacher_only=allowed_t & ~allowed_s,
        top_class=student.argmax(axis=-1)[..., None],
    )


def _finite(logits: NDArray, allowed: NDArray) -> NDArray:
    return np.where(allowed, logits, 0.0)


def _where(condition: NDArray, x: Pair) -> Pair:
    return Pair(np.where(condition, x.high, 0.0), np.where(condition, x.low, 0.0))


def take_class(x: Pair, index: NDArray) -> Pair:
    """x [N, 1] at one class of each row, `index` [N, 1]."""
    return Pair(np.take_along_axis(x.high, index, axis=-1), np.take_along_axis(x.low, index, axis=-1))
