"""The α-β-divergence, for every real (α, β), with its gradient worked out in the forward pass.

Definition 4.1 of the ABKD paper (Wang et al., ICML 2025), extended to all real α, β by continuity (Cichocki et al.,
2011), as one divided difference of exp: with s = log p (teacher), t = log q (student), δ = s − t and γ = α + β,

    D_AB(p‖q) = Σ δ² exp[γt, αs+βt, γs],    h = −∂D/∂t = δ exp[γt, αs+βt],

and ∂D/∂z = (q Σh − h) / temperature.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .differentiable import Selection, check_arguments, evaluate, select_rows
from .divided_differences import bounded_exp, first_order, relative_expm1, second_order
from .operands import Scalars, pack, point, unpack
from .rows import Rows, compute_type


def ab_divergence(
    student_logits: jax.typing.ArrayLike,
    teacher_logits: jax.typing.ArrayLike,
    alpha: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    mask: jax.typing.ArrayLike | None = None,
    weights: jax.typing.ArrayLike | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """D_AB(teacher ‖ student) of softmax(logits / temperature). No factor temperature²; an objective applies that.

    Differentiable once, in reverse mode, with respect to the student's logits; everything else is a constant. Works
    under jit, vmap and grad; α, β and the temperature may be traced, and other values of them never recompile.

    Args:
        student_logits: `[..., classes]` float64, float32, bfloat16 or float16; −inf forbids a class. Log-probabilities
            are logits too.
        teacher_logits: the same shape.
        alpha, beta: any finite real numbers; (1, 0) is the forward KL divergence, (0, 1) the reverse.
        temperature: divides both logits, > 0.
        mask: `[...]` bool, or numbers that are 0 or 1, the rows that count; None for all. Rows that do not count may hold
            anything, even NaN. Under jit it must be bool or integer.
        weights: `[...]`, real, finite and ≥ 0, a constant: what each row counts, 1 if None; 0 leaves a row out. Traced ones
            are not checked.
        reduction: "mean" (Σ weight · D / Σ weight over the rows that count), "sum" (Σ weight · D) or "none" (weight · D).

    Returns:
        Scalar, or `[...]` for "none" (0 in rows that do not count), in float64 if the student is float64, else float32.
        A row with NaN, +inf or no finite logit is NaN; no row at all gives 0.

    Raises:
        ValueError: a concrete argument has a bad shape or value.
        TypeError: logits that are not floating point, a floating mask of other numbers than 0 and 1.
        NotImplementedError: the gradient itself is differentiated.
    """
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    packed = pack(alpha, beta, temperature, compute_type(student.dtype))
    return packed_ab_divergence(student, teacher, packed, select_rows(student, mask, weights, reduction), reduction)


def packed_ab_divergence(
    student: jax.Array, teacher: jax.Array, packed: jax.Array | np.ndarray, selection: Selection, reduction: str
) -> jax.Array:
    """`ab_divergence` of arguments that are checked already, with the parameters of `operands.pack`."""
    return evaluate(ab_rows, student, teacher, packed, selection, reduction)


def ab_rows(rows: Rows, packed: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Terms and slopes of the α-β-divergence `[..., classes]`; `packed` as `operands.pack` makes it."""
    c = unpack(packed)
    return _terms(rows, c), _slopes(rows, c)


def ab_rows_at(rows: Rows, alpha: float, beta: float) -> tuple[jax.Array, jax.Array]:
    """`ab_rows` at a fixed point of the family, for divergences that are made of such points."""
    c = point(alpha, beta, rows.relative.dtype)
    return _terms(rows, c), _slopes(rows, c)


def _terms(rows: Rows, c: Scalars) -> jax.Array:
    """What each class adds to the value, `[..., classes]`."""
    delta = rows.relative - rows.shift
    terms = second_order(delta, c.gamma * jnp.where(delta >= 0, rows.teacher_log, rows.student_log), c)
    one_missing = rows.no_student | rows.no_teacher
    factor = jnp.where(rows.no_teacher, c.no_teacher_value, c.no_student_value)
    other = jnp.where(rows.no_teacher, rows.student_log, rows.teacher_log)
    limit = jnp.where(jnp.isinf(factor), factor, factor * jnp.exp(c.gamma * other))
    return jnp.where(one_missing, jnp.where(rows.no_student & rows.no_teacher, 0, limit), terms)


def _slope_exponent(
    delta: jax.Array, teacher: jax.Array, student: jax.Array, positive: Any, negative: Any, c: Scalars
) -> jax.Array:
    """γ·max(s, t) + factor·|δ|, the factor by δ's sign."""
    above = delta >= 0
    return c.gamma * jnp.where(above, teacher, student) + jnp.where(above, positive, negative) * jnp.abs(delta)


def _slopes(rows: Rows, c: Scalars) -> jax.Array:
    """h up to a multiple of q, `[..., classes]`.

    Any multiple of q may be taken off h without changing it; h_j/q_j at the student's top class j keeps confident
    students accurate. With x = (γ−1)(t − t_j) it is also q^γ (e^(αδ) − e^(αδ_j))/α + (e^x − 1)(h_j/q_j) q, which is
    used where x is small: the difference of exponentials is then a product, exact, and for γ = 1 all that remains.
    """
    size = jnp.abs(c.alpha)
    limit = jnp.finfo(rows.relative.dtype).max / (8 * rows.relative.shape[-1])  # so that no sum overflows

    delta = rows.relative - rows.shift
    top_delta = rows.top_log_ratio
    top_larger = _slope_exponent(top_delta, rows.top_teacher_log, rows.top_student_log, c.larger_positive, c.larger_negative, c)
    ratio = jnp.sign(top_delta) * bounded_exp(top_larger - rows.top_student_log) * first_order(jnp.abs(top_delta), size)
    # where the teacher forbids the top class it is that of a class without a teacher
    ratio = jnp.where(rows.top_valid, ratio, c.no_teacher_slope * bounded_exp((c.gamma - 1) * rows.top_student_log))
    ratio = jnp.clip(ratio, -limit, limit)

    power = (c.gamma - 1) * rows.below_top
    level = jnp.abs(power) < math.log(2)
    risen = power * relative_expm1(power) * ratio * rows.student_probability
    near = rows.top_valid & level
    cross = _slope_exponent(delta, rows.teacher_log, rows.student_log, c.cross_positive, c.cross_negative, c)
    larger = _slope_exponent(delta, rows.teacher_log, rows.student_log, c.larger_positive, c.larger_negative, c)
    exponent = jnp.where(near, jnp.maximum(cross, c.gamma * rows.student_log + c.alpha * top_delta), larger)
    x = jnp.where(near, rows.from_top, delta)
    slope = jnp.clip(jnp.sign(x) * bounded_exp(exponent) * first_order(jnp.abs(x), size), -limit, limit)
    centred = slope + jnp.where(near, risen, -ratio * rows.student_probability)

    one_missing = rows.no_student | rows.no_teacher
    factor = jnp.where(rows.no_teacher, c.no_teacher_slope, c.no_student_slope)
    other = jnp.where(rows.no_teacher, rows.student_log, rows.teacher_log)
    at_limit = jnp.clip(factor * bounded_exp(c.gamma * other), -limit, limit) - ratio * rows.student_probability
    at_limit = jnp.where(rows.no_teacher & level & ~rows.top_valid, risen, at_limit)
    centred = jnp.where(one_missing, jnp.where(rows.no_student & rows.no_teacher, 0, at_limit), centred)
    return jnp.where(rows.is_top & rows.top_valid, 0, centred)
