"""The mixture m = a q + b p (a + b = 1) of student and teacher, against both: what skewed divergences are made of.

With δ = log(p/q) and G(y) = y + e^(−y) − 1 ≥ 0,

    L = log(m/q) = log(a + b e^δ),   N = log(p/m) = δ − L,   KL(q‖m) = Σ q G(−L),   KL(p‖m) = Σ p G(N).

Every class's term is ≥ 0 (a multiple of Σ (p − q) = 0 has been added), so nothing cancels where p and q nearly agree.
"""

import tensorflow as tf

from .divided_differences import expm1, exponential
from .rows import Rows

# terms of the series of G, by computing type: the first one left out is below a rounding error at |y| = 1
EXCESS_TERMS = {"float32": 11, "float64": 19}


def decay_and_complement(x: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    """e^(−|x|) and 1 − e^(−|x|) in `dtype`."""
    exponent = -tf.cast(tf.abs(x), dtype)
    decay = tf.exp(exponent)
    return decay, -expm1(exponent, decay)


def gap(rows: Rows) -> tf.Tensor:
    """|p − q| of each class, accurate where the two nearly agree."""
    larger = tf.where(rows.log_ratio > 0, rows.teacher_log, rows.student_log)
    return exponential(larger, rows.dtype) * decay_and_complement(rows.log_ratio, rows.dtype)[1]


def _log_mixture(difference: tf.Tensor, own: tf.Tensor, other: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """log(own + other·e^d) where own + other = 1, accurate near d = 0 and for any d, in `dtype` from float64 d."""
    d = tf.cast(difference, dtype)
    moderate = tf.where(d < 30, d, tf.where(tf.equal(d, d), tf.zeros_like(d), d))
    power = tf.exp(moderate)
    change = other * expm1(moderate, power)
    near = tf.math.log1p(change)
    low = tf.math.log(own + other * power)
    high = d + tf.math.log(other + own * tf.exp(-tf.abs(d)))
    return tf.where(d >= 30, high, tf.where(change < -0.5, low, near))


def excess(y: tf.Tensor) -> tf.Tensor:
    """G(y) = y + e^(−y) − 1, by its series for |y| ≤ 1."""
    return tf.where(tf.abs(y) <= 1, _excess_series(y), y - 1 + tf.exp(-y))


def _excess_series(y: tf.Tensor) -> tf.Tensor:
    """G(y) for |y| ≤ 1; arguments beyond are taken as 0."""
    y = tf.where(tf.abs(y) <= 1, y, tf.where(tf.equal(y, y), tf.zeros_like(y), y))
    series = tf.ones_like(y)
    for k in range(EXCESS_TERMS[y.dtype.name], 2, -1):  # Horner's rule on y²/2 − y³/3! + …
        series = 1 - y * series * (1 / k)
    return y * y / 2 * series


def _weighted_excess(log_weight: tf.Tensor, log_mixture: tf.Tensor, ratio: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """w G(y) = w (y − 1) + m, with m = w e^(−y): a class's part of KL(w‖m), from log w, log m (float64) and y."""
    weight = exponential(log_weight, dtype)
    direct = weight * (ratio - 1) + exponential(log_mixture, dtype)
    direct = tf.where(direct < 0, tf.zeros_like(direct), direct)  # of two denormal numbers
    return tf.where(tf.abs(ratio) <= 1, weight * _excess_series(ratio), direct)


class Mixture:
    """m = own·q + other·p, with own + other = 1.

    Attributes:
        own, other: scalars of the computing type.
        from_student, to_teacher: L = log(m/q) and N = log(p/m), `[N, C]`.
        logs: log m, float64, `[N, C]`.
    """

    def __init__(self, rows: Rows, own: tf.Tensor, other: tf.Tensor) -> None:
        self._rows, self._dtype = rows, rows.dtype
        self.own, self.other = tf.cast(own, rows.dtype), tf.cast(other, rows.dtype)
        self.from_student = _log_mixture(rows.log_ratio, self.own, self.other, rows.dtype)
        self.to_teacher = -_log_mixture(-rows.log_ratio, self.other, self.own, rows.dtype)
        # from the larger side, so that neither term is infinite
        self.logs = tf.where(
            rows.log_ratio > 0,
            rows.teacher_log - tf.cast(self.to_teacher, tf.float64),
            rows.student_log + tf.cast(self.from_student, tf.float64),
        )

    def student_terms(self) -> tf.Tensor:
        """Classes' parts of KL(q‖m), each ≥ 0."""
        return _weighted_excess(self._rows.student_log, self.logs, -self.from_student, self._dtype)

    def teacher_terms(self) -> tf.Tensor:
        """Classes' parts of KL(p‖m), each ≥ 0."""
        return _weighted_excess(self._rows.teacher_log, self.logs, self.to_teacher, self._dtype)

    def top(self) -> tuple[tf.Tensor, tf.Tensor]:
        """p/q and m/q at the student's top class, `[N, 1]`."""
        ratio = exponential(self._rows.top_log_ratio, self._dtype)
        return ratio, self.own + self.other * ratio

    def relative(self) -> tf.Tensor:
        """L_k − L_j with j the student's top class, `[N, C]`, accurate where the two nearly agree."""
        rows, dtype = self._rows, self._dtype
        top_ratio, top_mixture = self.top()
        step = tf.cast(rows.from_top, dtype)
        near = tf.abs(step) < 0.5
        step = tf.where(near, step, tf.zeros_like(step))
        # the difference of the two ratios p/q; beyond e^80 it only needs to be large
        limit = tf.constant(80.0, tf.float64)
        ratio = exponential(tf.where(rows.log_ratio > limit, limit, rows.log_ratio), dtype)
        apart = tf.where(near, top_ratio * expm1(step, tf.exp(step)), ratio - top_ratio)
        change = self.other * apart / top_mixture
        top = _log_mixture(rows.top_log_ratio, self.own, self.other, dtype)
        small = tf.abs(change) < 0.5
        return tf.where(small, tf.math.log1p(tf.where(small, change, tf.zeros_like(change))), self.from_student - top)
