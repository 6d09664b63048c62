"""Divided differences of exp, scaled so that nothing cancels and nothing overflows early.

Log-probabilities, their differences and exponents come in float64 whatever the computing type is: rounding an exponent
near −80 to float32 alone would cost 4e-6. What follows them, exponentials above all, is in the computing type.

Written for XLA: every function is a handful of elementwise operations that fuse into the loop around them. Minima and
maxima are spelled with comparisons, because XLA's own drop NaN on a CPU.

Source: McCurdy, Ng & Parlett, "Accurate computation of divided differences of the exponential function",
Math. Comp. 43 (1984).
"""

import tensorflow as tf

from ...common.coefficients import SERIES, Coefficients


def larger(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Elementwise maximum; NaN in `a` stays NaN."""
    return tf.where(a < b, b, a)


def exponential(exponent: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """e^x in `dtype` from a float64 exponent, correct to a rounding or two of `dtype`."""
    if dtype == tf.float64:
        return tf.exp(exponent)
    rounded = tf.cast(exponent, dtype)
    # past ±1e6 nothing but 0 or inf is left, and the remainder of a rounding is no longer small
    remainder = tf.where(tf.abs(rounded) < 1e6, tf.cast(exponent - tf.cast(rounded, tf.float64), dtype), 0.0)
    return tf.exp(rounded) * (1 + remainder)


def expm1(x: tf.Tensor, exp: tf.Tensor) -> tf.Tensor:
    """e^x − 1, given e^x: its Taylor series near 0 (float32), several times cheaper than XLA's expm1."""
    if x.dtype == tf.float64:
        return tf.math.expm1(x)
    series = tf.zeros_like(x) + 1 / 9
    for k in range(8, 1, -1):  # Horner's rule: (e^x − 1 − x) / x² up to x^7 / 9!
        series = (1 + x * series) * (1 / k)
    return tf.where(tf.abs(x) < 0.5, x * (1 + x * series), exp - 1)


def decay_integral(width: tf.Tensor, gap: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """E(w; g) = (1 − e^(−g·w)) / g, and its limit w at g = 0; and e^(−g·w).

    Args:
        width: w ≥ 0, any shape.
        gap: g ≥ 0, a scalar or of a shape that broadcasts.
    """
    safe_gap = tf.where(gap > 0, gap, tf.ones_like(gap))
    decay = tf.exp(-gap * width)
    return tf.where(gap > 0, -expm1(-safe_gap * width, decay) / safe_gap, width), decay


def second_order(
    teacher_log_probs: tf.Tensor, student_log_probs: tf.Tensor, difference: tf.Tensor, scalars: Coefficients, wide: Coefficients
) -> tf.Tensor:
    """δ² · exp[γt, αs+βt, γs] for every element: one class's share of the α-β-divergence, never negative.

    Args:
        teacher_log_probs: s, float64, finite, `[..., C]`.
        student_log_probs: t, float64, finite, `[..., C]`.
        difference: δ = s − t, float64, computed without the rounding of s and t.
        scalars: `backends.common.coefficients.coefficients` in the computing type.
        wide: the same in float64.

    Returns:
        `[..., C]` in the type of `scalars`, +inf where it is beyond the type's range.
    """
    dtype = scalars.alpha.dtype
    threshold, _ = SERIES[dtype.name]
    positive = difference > 0
    width = tf.cast(tf.abs(difference), dtype)

    def choose(where_positive: tf.Tensor, where_negative: tf.Tensor) -> tf.Tensor:
        return tf.where(positive, where_positive, where_negative)

    from_teacher = choose(wide.top_positive[0], wide.top_negative[0])
    from_student = choose(wide.top_positive[1], wide.top_negative[1])
    top = from_teacher * teacher_log_probs + from_student * student_log_probs
    upper, lower = choose(scalars.first, scalars.second), choose(scalars.second, scalars.first)

    from_top, decay = decay_integral(width, upper)
    direct = from_top - decay * decay_integral(width, lower)[0]
    direct = direct / tf.where(scalars.whole > 0, scalars.whole, tf.ones_like(scalars.whole))

    series = tf.zeros_like(width)
    for k in range(len(scalars.series_positive) + 1, 1, -1):  # Horner's rule on Σ c_k w^k / (k+2)!, from k = K
        coefficient = choose(scalars.series_positive[k - 2], scalars.series_negative[k - 2])
        series = (series + coefficient) * (width / (k + 2))
    series = (series * (width / 3) + 1) * (width * width / 2)  # c_1 = 0, c_0 = 1

    small = scalars.whole * width < threshold
    mean = choose(wide.mean_positive, wide.mean_negative)
    factor = tf.where(small, series, direct)
    result = exponential(tf.where(small, top + mean * tf.abs(difference), top), dtype) * factor
    return tf.where(factor == 0, tf.zeros_like(result), result)  # 0 · inf where the exponent overflows


def first_order(exponent_one: tf.Tensor, exponent_two: tf.Tensor, difference: tf.Tensor, gap: tf.Tensor) -> tf.Tensor:
    """sign(δ) · e^max(a, b) · E(|δ|; g): δ times the divided difference of exp at a and b, which lie g·|δ| apart.

    Args:
        exponent_one: a, float64, any shape.
        exponent_two: b, float64, the same shape.
        difference: δ, float64, the same shape.
        gap: g = |a − b| / |δ|, a scalar of the computing type.

    Returns:
        The same shape in the type of `gap`; large but finite where e^max(a, b) overflows.
    """
    limit = tf.constant({"float32": 88.0, "float64": 700.0}[gap.dtype.name], tf.float64)
    exponent = larger(exponent_one, exponent_two)
    exponent = tf.where(exponent > limit, limit, exponent)
    difference = tf.cast(difference, gap.dtype)
    return tf.sign(difference) * (exponential(exponent, gap.dtype) * decay_integral(tf.abs(difference), gap)[0])
