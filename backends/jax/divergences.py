"""The α-β-divergence between teacher and student logits, with its gradient worked out in the forward pass.

Definition 4.1 of the ABKD paper (Wang et al., ICML 2025), extended to all real α, β by continuity (Cichocki et al.,
2011), as one divided difference of exp: with s = log p (teacher), t = log q (student), δ = s − t and γ = α + β,

    D_AB(p‖q) = Σ δ² exp[γt, αs+βt, γs],    h = −∂D/∂t = δ exp[γt, αs+βt],    ∂D/∂z = (q Σh − h) / temperature.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from backends.arguments import check_reduction, check_shapes
from backends.jax.constants import Constants, pack, unpack
from backends.jax.divided_differences import (
    bounded_exp,
    exp_difference,
    first_order,
    relative_expm1,
    second_order,
)


def ab_divergence(
    student_logits: jax.typing.ArrayLike,
    teacher_logits: jax.typing.ArrayLike,
    alpha: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    mask: jax.typing.ArrayLike | None = None,
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
        mask: `[...]` bool, the rows that count; None for all. Rows that do not count may hold anything, even NaN.
        reduction: "mean" (over the rows that count), "sum" or "none".

    Returns:
        Scalar, or `[...]` for "none" (0 in rows that do not count), in float64 if the student is float64, else float32.
        A row with NaN, +inf or no finite logit is NaN; no row at all gives 0.

    Raises:
        ValueError: a concrete argument has a bad shape or value.
        NotImplementedError: the gradient itself is differentiated.
    """
    check_reduction(reduction)
    student, teacher = as_logits("student_logits", student_logits), as_logits("teacher_logits", teacher_logits)
    mask = None if mask is None else jnp.asarray(mask)
    check_shapes(student.shape, teacher.shape, None if mask is None else mask.shape)
    packed = pack(alpha, beta, temperature, compute_type(student.dtype))
    arguments = (student, teacher, mask, packed)
    if not any(isinstance(x, jax.core.Tracer) for x in arguments):
        # nothing is being differentiated: save the overhead of the rule
        return _compiled_value(*arguments, reduction=reduction)
    return divergence(reduction, *arguments)


def compute_type(dtype: Any) -> np.dtype:
    """The type in which logits of type `dtype` are computed with and values are returned."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def as_logits(name: str, logits: Any) -> jax.Array:
    """Return logits as an array; ValueError where they are not floating-point."""
    array = jnp.asarray(logits)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} has type {array.dtype}; logits must be float64, float32, bfloat16 or float16")
    return array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def divergence(
    reduction: str, student: jax.Array, teacher: jax.Array, mask: jax.Array | None, packed: jax.Array
) -> jax.Array:
    """`ab_divergence` of checked arguments, `packed` from `constants.pack`.

    Compiled pieces within, the derivative's rule outside: eager calls of either then cost a dispatch or two.
    """
    return _compiled_value(student, teacher, mask, packed, reduction=reduction)


def _forward(reduction: str, student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array) -> tuple:
    value, gradient = _compiled_value_and_gradient(student, teacher, mask, packed, reduction=reduction)
    # an array of the student's type (and no elements) carries that type to the backward pass
    return value, (gradient, mask, np.zeros((0,), student.dtype))


def _backward(reduction: str, residuals: tuple, cotangent: jax.Array) -> tuple:
    gradient, mask, like_student = residuals
    return _compiled_scale(gradient, mask if reduction == "none" else None, cotangent, like_student), None, None, None


divergence.defvjp(_forward, _backward)


def _reduce(rows: jax.Array, scale: jax.Array, reduction: str) -> jax.Array:
    return rows if reduction == "none" else rows.sum() * scale


def _row_scale(rows: jax.Array, mask: jax.Array | None, reduction: str) -> jax.Array:
    """What each row is multiplied by: 1, or 1 / (number of rows that count) for "mean"."""
    if reduction != "mean":
        return jnp.ones((), rows.dtype)
    count = jnp.asarray(rows.size if mask is None else mask.astype(bool).sum(), rows.dtype)
    return 1 / jnp.maximum(count, 1)


@partial(jax.jit, static_argnames="reduction")
def _compiled_value(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, reduction: str
) -> jax.Array:
    c = unpack(packed)
    rows = _value(_prepare(student, teacher, mask, c), c)
    return _reduce(rows, _row_scale(rows, mask, reduction), reduction)


@partial(jax.jit, static_argnames="reduction")
def _compiled_value_and_gradient(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, reduction: str
) -> tuple[jax.Array, jax.Array]:
    """The reduced value and its gradient `[..., classes]` ("none": of the rows' sum), in the computing type."""
    rows, gradient = _value_and_gradient(student, teacher, mask, packed)
    scale = _row_scale(rows, mask, reduction)
    return _reduce(rows, scale, reduction), gradient if reduction == "none" else gradient * scale


@jax.jit
def _compiled_scale(gradient: jax.Array, mask: Any, cotangent: jax.Array, like_student: jax.Array) -> jax.Array:
    if mask is not None:
        cotangent = jnp.where(mask.astype(bool), cotangent, 0)
    return (cotangent[..., None] * gradient).astype(like_student.dtype)


@jax.custom_vjp
def _value_and_gradient(student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array) -> tuple:
    """Row values `[...]` and their gradients `[..., classes]` in the computing type; differentiating them raises."""
    c = unpack(packed)
    rows = _prepare(student, teacher, mask, c)
    return _value(rows, c), _gradient(rows, c)


def _refuse(*_: Any) -> Any:
    raise NotImplementedError(
        "the gradient of the α-β-divergence was differentiated again, which is not implemented; take first derivatives "
        "only (reverse mode, with respect to the student's logits)"
    )


_value_and_gradient.defvjp(_refuse, _refuse)


class _Rows(NamedTuple):
    """Softmax statistics of rows of logits; `[..., classes]`, or `[..., 1]` where marked with 1.

    Attributes:
        selected: whether the row counts (1, or None).
        valid: whether the row can be evaluated (1).
        no_student, no_teacher: where that logit is −inf.
        difference: (teacher − student logit, both relative to their maxima) / temperature; 0 where either is −inf.
        shift: log-partition difference (1), so that δ = difference − shift.
        student, teacher: log-probabilities t and s; 0 where either logit is −inf, except the other one.
        from_top: difference less that of the student's top class, rounded once.
        below_top: (student logit − its maximum) / temperature.
        probability: the student's q.
        is_top: where the student's largest logit is.
        top_difference, top_student, top_teacher: the same statistics of that class (1).
        top_valid: whether the teacher allows that class (1).
    """

    selected: jax.Array | None
    valid: jax.Array
    no_student: jax.Array
    no_teacher: jax.Array
    difference: jax.Array
    shift: jax.Array
    student: jax.Array
    teacher: jax.Array
    from_top: jax.Array
    below_top: jax.Array
    probability: jax.Array
    is_top: jax.Array
    top_difference: jax.Array
    top_student: jax.Array
    top_teacher: jax.Array
    top_valid: jax.Array


def _two_difference(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """a − b rounded, and what rounding took away (Knuth)."""
    x = a - b
    virtual = a - x
    return x, (a - (x + virtual)) + (virtual - b)


def _logit_difference(
    teacher: jax.Array, student: jax.Array, teacher_max: jax.Array, student_max: jax.Array, temperature: jax.Array
) -> jax.Array:
    """[(teacher − student) − (their maxima's difference)] / temperature, as if rounded once."""
    logits, lost = _two_difference(teacher, student)
    maxima, lost_maxima = _two_difference(teacher_max, student_max)
    x, lost_both = _two_difference(_in_range(logits), _in_range(maxima))
    correction = lost - lost_maxima + lost_both
    return _in_range((x + jnp.where(jnp.isfinite(correction), correction, 0)) / temperature)


def _in_range(x: jax.Array) -> jax.Array:
    """Hold x within a quarter of its type's range, where finite logits near the type's limits leave it."""
    limit = jnp.finfo(x.dtype).max / 4
    return jnp.clip(x, -limit, limit)


def _log1p(x: jax.Array) -> jax.Array:
    """log(1 + x) = 2 artanh(x / (2 + x)) by its series, for |x| ≤ 1/2.

    XLA's own is off by 120 eps in float64, and its simplifier turns the usual correction by (1 + x) − 1 into x.
    """
    u = x / (2 + x)
    total = jnp.zeros_like(x)
    for k in range(17, -1, -1):  # |u| ≤ 1/3: the next term is below 1e-18
        total = total * (u * u) + 1 / (2 * k + 1)
    return 2 * u * total


def _prepare(student: jax.Array, teacher: jax.Array, mask: Any, c: Constants) -> _Rows:
    dtype = compute_type(student.dtype)
    student, teacher = student.astype(dtype), teacher.astype(dtype)
    selected = None if mask is None else mask.astype(bool)[..., None]
    if selected is not None:
        student, teacher = jnp.where(selected, student, 0), jnp.where(selected, teacher, 0)
    no_student, no_teacher = student == -jnp.inf, teacher == -jnp.inf
    student_max, teacher_max = student.max(-1, keepdims=True), teacher.max(-1, keepdims=True)

    difference = _logit_difference(teacher, student, teacher_max, student_max, c.temperature)
    student_shifted = _in_range((student - student_max) / c.temperature)
    teacher_shifted = _in_range((teacher - teacher_max) / c.temperature)
    student_exp, teacher_exp = jnp.exp(student_shifted), jnp.exp(teacher_shifted)
    student_sum, teacher_sum = student_exp.sum(-1, keepdims=True), teacher_exp.sum(-1, keepdims=True)
    relative = exp_difference(student_exp, teacher_exp, difference).sum(-1, keepdims=True) / student_sum
    shift = jnp.where(jnp.abs(relative) < 0.5, _log1p(relative), jnp.log(teacher_sum / student_sum))
    student_log, teacher_log = jnp.log(student_sum), jnp.log(teacher_sum)

    # a maximum need not pass NaN on, a sum does
    valid = jnp.isfinite(student_sum + teacher_sum) & jnp.isfinite(student_max) & jnp.isfinite(teacher_max)
    largest = student == student_max
    top_logit = jnp.where(largest, teacher, -jnp.inf).max(-1, keepdims=True)
    top_valid = jnp.isfinite(top_logit)
    top_logit = jnp.where(top_valid, top_logit, teacher_max)
    return _Rows(
        selected,
        valid,
        no_student,
        no_teacher,
        jnp.where(no_student | no_teacher, 0, difference),
        shift,
        jnp.where(no_student, 0, student_shifted - student_log),
        jnp.where(no_teacher, 0, teacher_shifted - teacher_log),
        _logit_difference(teacher, student, top_logit, student_max, c.temperature),
        student_shifted,
        student_exp / student_sum,
        largest & (teacher == top_logit),
        _logit_difference(top_logit, student_max, teacher_max, student_max, c.temperature),
        -student_log,
        (top_logit - teacher_max) / c.temperature - teacher_log,
        top_valid,
    )


def _value(rows: _Rows, c: Constants) -> jax.Array:
    delta = rows.difference - rows.shift
    terms = second_order(delta, c.gamma * jnp.where(delta >= 0, rows.teacher, rows.student), c)
    one_missing = rows.no_student | rows.no_teacher
    factor = jnp.where(rows.no_teacher, c.missing_teacher_value, c.missing_student_value)
    other = jnp.where(rows.no_teacher, rows.student, rows.teacher)
    limit = jnp.where(jnp.isinf(factor), factor, factor * jnp.exp(c.gamma * other))
    terms = jnp.where(one_missing, jnp.where(rows.no_student & rows.no_teacher, 0, limit), terms)
    value = jnp.where(rows.valid[..., 0], terms.sum(-1), jnp.nan)
    return value if rows.selected is None else jnp.where(rows.selected[..., 0], value, 0)


def _slope_exponent(
    delta: jax.Array, teacher: jax.Array, student: jax.Array, positive: Any, negative: Any, c: Constants
) -> jax.Array:
    """γ·max(s, t) + factor·|δ|, the factor by δ's sign."""
    above = delta >= 0
    return c.gamma * jnp.where(above, teacher, student) + jnp.where(above, positive, negative) * jnp.abs(delta)


def _gradient(rows: _Rows, c: Constants) -> jax.Array:
    """∂D/∂z, `[..., classes]`.

    Any multiple of q may be taken off h without changing it; h_j/q_j at the student's top class j keeps confident
    students accurate. With x = (γ−1)(t − t_j) it is also q^γ (e^(αδ) − e^(αδ_j))/α + (e^x − 1)(h_j/q_j) q, which is
    used where x is small: the difference of exponentials is then a product, exact, and for γ = 1 all that remains.
    """
    size = jnp.abs(c.alpha)
    limit = jnp.finfo(rows.difference.dtype).max / (8 * rows.difference.shape[-1])  # so that no sum overflows

    delta = rows.difference - rows.shift
    top_delta = rows.top_difference - rows.shift
    top_larger = _slope_exponent(top_delta, rows.top_teacher, rows.top_student, c.larger_positive, c.larger_negative, c)
    ratio = jnp.sign(top_delta) * bounded_exp(top_larger - rows.top_student) * first_order(jnp.abs(top_delta), size)
    ratio = jnp.where(rows.top_valid, jnp.clip(ratio, -limit, limit), 0)

    power = (c.gamma - 1) * rows.below_top
    near = rows.top_valid & (jnp.abs(power) < math.log(2))
    cross = _slope_exponent(delta, rows.teacher, rows.student, c.cross_positive, c.cross_negative, c)
    larger = _slope_exponent(delta, rows.teacher, rows.student, c.larger_positive, c.larger_negative, c)
    exponent = jnp.where(near, jnp.maximum(cross, c.gamma * rows.student + c.alpha * top_delta), larger)
    x = jnp.where(near, rows.from_top, delta)
    slope = jnp.clip(jnp.sign(x) * bounded_exp(exponent) * first_order(jnp.abs(x), size), -limit, limit)
    centred = slope + jnp.where(near, power * relative_expm1(power), -1) * ratio * rows.probability

    one_missing = rows.no_student | rows.no_teacher
    factor = jnp.where(rows.no_teacher, c.missing_teacher_slope, c.missing_student_slope)
    other = jnp.where(rows.no_teacher, rows.student, rows.teacher)
    at_limit = jnp.clip(factor * bounded_exp(c.gamma * other), -limit, limit) - ratio * rows.probability
    centred = jnp.where(one_missing, jnp.where(rows.no_student & rows.no_teacher, 0, at_limit), centred)
    centred = jnp.where(rows.is_top & rows.top_valid, 0, centred)

    gradient = (rows.probability * centred.sum(-1, keepdims=True) - centred) / c.temperature
    gradient = jnp.where(rows.no_student, 0, gradient)
    gradient = jnp.where(rows.valid, gradient, jnp.nan)
    return gradient if rows.selected is None else jnp.where(rows.selected, gradient, 0)
