"""The α-β-divergence between a teacher and a student, from logits.

    D_AB(p‖q) = Σ δ² · exp[γt, αs+βt, γs],   s = log p (teacher), t = log q (student), δ = s − t, γ = α + β,

with exp[…] a divided difference. It equals Definition 4.1 of the ABKD paper (Wang et al., ICML 2025) with all its
limits: nothing is singular on α = 0, β = 0 or α+β = 0. α, β and the temperature are run-time values.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from ...common.coefficients import Coefficients
from .counting import Counting
from .differentiable import check_arguments, evaluate
from .divided_differences import expm1, first_order, second_order
from .operands import pack, unpack
from .rows import FAR, Rows

# a class whose q^(γ−1) is within this, in logarithms, of the top class's is as good as tied with it
TIED = 0.0625


def ab_divergence(
    student_logits: Any,
    teacher_logits: Any,
    alpha: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    weights: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """The α-β-divergence D_AB(teacher ‖ student) of softmax(logits / temperature).

    Differentiable once with respect to `student_logits`; the teacher is a constant. Works eagerly, inside `tf.function`
    with and without `jit_compile`, and under mixed precision.

    Args:
        student_logits: `[..., C]`, float64, float32, bfloat16 or float16; log-probabilities are logits too. −inf
            forbids a class.
        teacher_logits: the same shape; it may be of another type.
        alpha: any finite real number, or a scalar tensor. A tensor's value is not checked.
        beta: the same.
        temperature: > 0, a number or a scalar tensor. No factor temperature² is applied.
        mask: bool `[...]` (or 0 and 1), True for the rows (tokens) that count; None: all. What other rows hold does not
            matter. In a compiled function it must be bool or of integers.
        weights: `[...]`, real, finite, ≥ 0, a constant: W of each row; None: 1. Rows of weight 0 do not count. Weights
            that are known at run time only are not checked.
        reduction: "mean", Σ W D / Σ W over the rows that count (0 where none does), "sum", Σ W D, or "none", W D.

    Returns:
        A scalar, or `[...]` for "none"; float64 if the student's logits are, else float32.

    Raises:
        ValueError: shapes that differ, a parameter that is not finite, temperature ≤ 0, an unknown reduction,
            a weight that is not allowed.
        TypeError: logits that are not floating point, a floating mask of other numbers than 0 and 1.
    """
    student, teacher, counting = check_arguments(student_logits, teacher_logits, mask, reduction, weights)
    return packed_ab_divergence(student, teacher, pack(alpha, beta, temperature), counting)


def packed_ab_divergence(student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor, counting: Counting) -> tf.Tensor:
    """`ab_divergence` of arguments that are checked already, with the parameters of `operands.pack`."""
    return evaluate(ab_rows, student, teacher, packed, counting)


def ab_rows(rows: Rows, packed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Terms and slopes of the α-β-divergence `[N, C]`; `packed` as `operands.pack` makes it."""
    scalars, wide = unpack(packed, rows.dtype)
    return _terms(rows, scalars, wide), _slopes(rows, scalars, wide)


def _terms(rows: Rows, scalars: Coefficients, wide: Coefficients) -> tf.Tensor:
    """Each class's part of the value, `[N, C]`."""
    terms = second_order(rows.teacher_log, rows.student_log, rows.log_ratio, scalars, wide)
    finite_gamma = scalars.gamma > 0
    infinite = tf.logical_or(
        tf.logical_and(rows.no_teacher, tf.logical_not(tf.logical_and(finite_gamma, scalars.alpha > 0))),
        tf.logical_and(rows.no_student, tf.logical_not(tf.logical_and(finite_gamma, scalars.beta > 0))),
    )
    return tf.where(infinite, tf.constant(np.inf, rows.dtype), terms)


def _slopes(rows: Rows, scalars: Coefficients, wide: Coefficients) -> tf.Tensor:
    """h_k − (h_j/q_j) q_k with j the student's top class, `[N, C]`.

    For γ = 1 that difference has the exact product form q (e^(αδ) − e^(αδ_j)) / α, which is again δ times a first
    divided difference, of other arguments.
    """
    dtype, alpha, beta, gamma = rows.dtype, wide.alpha, wide.beta, wide.gamma
    size_alpha, zero = tf.abs(scalars.alpha), tf.zeros([], tf.float64)
    cap = tf.constant(dtype.max / 8, dtype) / tf.cast(tf.shape(rows.log_ratio)[-1], dtype)

    def capped(values: tf.Tensor) -> tf.Tensor:
        """Keep a row's sum finite where single terms overflow."""
        return tf.where(values > cap, cap, tf.where(values < -cap, -cap, values))

    # h_j / q_j at the student's top class
    top_student, top_teacher, top_difference = rows.top_student_log, rows.top_teacher_log, rows.top_log_ratio
    top_forbidden = tf.logical_and(rows.top_relative <= -FAR, alpha <= 0)  # h_j is infinite and left out
    ratio = capped(
        first_order((gamma - 1) * top_student, alpha * top_teacher + (beta - 1) * top_student, top_difference, size_alpha)
    )
    ratio = tf.where(top_forbidden, tf.zeros_like(ratio), ratio)
    # γ as a float64 sum: .7 + .2 + .1 may miss 1 by a rounding error, which the product form does not notice
    exact = tf.abs(gamma - 1) <= (5e-16 if dtype == tf.float64 else 1e-9)
    product = tf.logical_and(exact, tf.logical_not(top_forbidden))

    # Of classes all but tied with the top one h_k and (h_j/q_j) q_k may be the same but for their last digits. Their
    # difference is the same product with q^γ in front, and (q_k^(γ−1)/q_j^(γ−1) − 1) (h_j/q_j) q_k.
    power = (gamma - 1) * (rows.student_log - top_student)
    tied = tf.logical_and(tf.abs(power) < TIED, rows.top_relative > -FAR)
    tied = tf.logical_or(product, tied)
    narrow = tf.cast(tf.where(tf.abs(power) < TIED, power, tf.zeros_like(power)), dtype)
    change = tf.where(tied, expm1(narrow, tf.exp(narrow)), -tf.ones_like(narrow))

    q = rows.student_probability
    slopes = first_order(
        gamma * rows.student_log + tf.where(tied, alpha * top_difference, zero),
        alpha * rows.teacher_log + beta * rows.student_log,
        tf.where(tied, rows.from_top, rows.log_ratio),
        size_alpha,
    )
    slopes = capped(slopes) + tf.where(product, tf.zeros_like(change), change) * ratio * q
    finite_without_student = tf.logical_or(tf.logical_and(beta > 0, gamma >= 0), tf.logical_and(tf.equal(beta, 0), alpha > 0))
    left_out = tf.logical_or(
        tf.logical_and(rows.no_teacher, alpha <= 0), tf.logical_and(rows.no_student, tf.logical_not(finite_without_student))
    )
    left_out = tf.logical_or(left_out, tf.logical_and(rows.no_teacher, rows.no_student))
    return tf.where(left_out, -ratio * q, slopes)
