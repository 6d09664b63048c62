"""Rows of two sets of logits as distributions: log-probabilities and their differences, to the last digit.

Differences of logits come first and the temperature last; log-partitions are compared through one log1p. All of it is
float64 (the exponentials under a sum aside), so that what follows can be computed in a narrower type.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .divided_differences import expm1, exponential

# stands for an infinite distance between log-probabilities; far beyond where exp underflows, far from overflowing
FAR = 1e30
# below it E_T − E_S is computed as E_S·expm1(w), above as a difference
NEAR = 0.3
# per row: both maxima, both log-partitions, the difference of log-partitions, the top class's shifted difference
STATISTICS = 6


class Rows(NamedTuple):
    """Softmax statistics of rows of logits; float64, `[N, C]`, or `[N, 1]` where marked with 1. ±FAR is infinite.

    Attributes:
        teacher_log, student_log: s = log p and t = log q, p the teacher's probabilities and q the student's.
        log_ratio: δ = s − t, without the rounding of s and t; finite where both sides forbid the class.
        relative: δ before `shift` is taken off; differences of two classes' δ are exactest from it.
        shift: log-partition of the teacher less the student's (1), so that δ = relative − shift.
        top_relative: `relative` of the student's most likely class (1); among ties, of the one the teacher likes best.
        top_teacher_log, top_student_log: s and t of that class (1).
        no_teacher, no_student: bool, where the class is absent: its logit is −inf, or over the temperature at least FAR
            below the row's largest, as that of a class that is masked by the type's least number.
        dtype: the type to compute in; exponents, which are these, stay float64.
    """

    teacher_log: tf.Tensor
    student_log: tf.Tensor
    log_ratio: tf.Tensor
    relative: tf.Tensor
    shift: tf.Tensor
    top_relative: tf.Tensor
    top_teacher_log: tf.Tensor
    top_student_log: tf.Tensor
    no_teacher: tf.Tensor
    no_student: tf.Tensor
    dtype: tf.DType

    @property
    def top_log_ratio(self) -> tf.Tensor:
        """δ of the student's most likely class (1)."""
        return self.top_relative - self.shift

    @property
    def from_top(self) -> tf.Tensor:
        """δ less that of the student's most likely class."""
        return self.relative - self.top_relative

    @property
    def student_probability(self) -> tf.Tensor:
        """q in the computing type, 0 where the student's logit is −inf."""
        return exponential(self.student_log, self.dtype)


def compute_type(dtype: tf.DType) -> tf.DType:
    """Type in which everything is computed and values are returned."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def selected(logits: tf.Tensor, mask: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
    """Logits in float64 (rounded to the computing type first); zeros in rows that do not count, so nothing spreads."""
    logits = tf.cast(tf.cast(logits, dtype), tf.float64)
    return logits if mask is None else tf.where(mask[:, None], logits, tf.zeros_like(logits))


def total(terms: tf.Tensor) -> tf.Tensor:
    """Sum over classes, in float64: XLA adds one after the other, 50,257 times in float32 would lose digits."""
    return tf.reduce_sum(tf.cast(terms, tf.float64), axis=-1, keepdims=True)


def _shifted(logits: tf.Tensor, maxima: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """(z − m) / T, with −FAR for −inf."""
    shifted = (logits - maxima) / temperature
    return tf.where(shifted < -FAR, tf.constant(-FAR, shifted.dtype), shifted)


def _two_difference(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """x − y rounded, and what the rounding took away (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (x - (high - back)) - (y + back)


def _shifted_difference(
    student: tf.Tensor, teacher: tf.Tensor, student_max: tf.Tensor, teacher_max: tf.Tensor, temperature: tf.Tensor
) -> tf.Tensor:
    """w0 = [(z_T − z_S) − (m_T − m_S)] / T: differences first, with what rounding took from each of them.

    ±FAR where one side is −inf, 0 where both are.
    """
    logits, lost = _two_difference(teacher, student)
    maxima, lost_maxima = _two_difference(teacher_max, student_max)
    exact = ((logits - maxima) + (lost - lost_maxima)) / temperature
    plain = _shifted(teacher, teacher_max, temperature) - _shifted(student, student_max, temperature)
    return tf.where(tf.abs(exact) < FAR, exact, plain)  # not where something overflowed, is −inf or NaN


def _row_statistics(
    student: tf.Tensor, teacher: tf.Tensor, temperature: tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Shifted differences `[N, C]` and the row's `STATISTICS` numbers, each `[N, 1]`, all in float64."""
    student_max = tf.reduce_max(student, axis=-1, keepdims=True)
    teacher_max = tf.reduce_max(teacher, axis=-1, keepdims=True)
    width = _shifted_difference(student, teacher, student_max, teacher_max, temperature)
    student_exp = exponential(_shifted(student, student_max, temperature), dtype)
    teacher_exp = exponential(_shifted(teacher, teacher_max, temperature), dtype)
    narrow = tf.cast(width, dtype)
    near = tf.abs(narrow) < NEAR
    narrow = tf.where(near, narrow, tf.zeros_like(narrow))
    change = tf.where(near, student_exp * expm1(narrow, tf.exp(narrow)), teacher_exp - student_exp)
    student_total, teacher_total, change_total = total(student_exp), total(teacher_exp), total(change)
    # The larger partition in front keeps the argument of log1p away from −1.
    partition_difference = tf.where(
        change_total < 0, -tf.math.log1p(-change_total / teacher_total), tf.math.log1p(change_total / student_total)
    )
    # Among the student's top classes (ties), the one that the teacher likes best.
    at_top = tf.reduce_max(tf.where(tf.equal(student, student_max), teacher, -np.inf), axis=-1, keepdims=True)
    return width, (
        student_max,
        teacher_max,
        tf.math.log(student_total),
        tf.math.log(teacher_total),
        partition_difference,
        _shifted(at_top, teacher_max, temperature),
    )


def compare_rows(
    student: tf.Tensor,
    teacher: tf.Tensor,
    temperature: tf.Tensor,
    dtype: tf.DType,
    statistics: tuple[tf.Tensor, ...] | None = None,
) -> tuple[Rows, tuple[tf.Tensor, ...]]:
    """`Rows` and their statistics (computed here where they are None) from float64 logits `[N, C]`."""
    if statistics is None:
        width, statistics = _row_statistics(student, teacher, temperature, dtype)
        student_max, teacher_max, *_ = statistics
    else:
        student_max, teacher_max, *_ = statistics
        width = _shifted_difference(student, teacher, student_max, teacher_max, temperature)
    _, _, student_partition, teacher_partition, partition_difference, top_width = statistics
    below_teacher = _shifted(teacher, teacher_max, temperature)
    below_student = _shifted(student, student_max, temperature)
    rows = Rows(
        teacher_log=below_teacher - teacher_partition,
        student_log=below_student - student_partition,
        log_ratio=width - partition_difference,
        relative=width,
        shift=partition_difference,
        top_relative=top_width,
        top_teacher_log=top_width - teacher_partition,
        top_student_log=-student_partition,
        no_teacher=below_teacher <= -FAR,
        no_student=below_student <= -FAR,
        dtype=dtype,
    )
    return rows, statistics
