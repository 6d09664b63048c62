"""Rows of teacher and student logits, prepared once for every divergence."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .divided_differences import exp_difference, log1p


def compute_type(dtype: Any) -> np.dtype:
    """The type in which logits of type `dtype` are computed with and values are returned."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


class Rows(NamedTuple):
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
        probability, teacher_probability: the student's q and the teacher's p; 0 where that logit is −inf.
        teacher_below_top: (teacher logit − its maximum) / temperature, −inf where that logit is.
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
    teacher_probability: jax.Array
    teacher_below_top: jax.Array
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


def prepare(student: jax.Array, teacher: jax.Array, mask: Any, temperature: jax.Array) -> Rows:
    """Compare rows of logits, `[..., classes]`; rows that do not count are compared as zeros."""
    dtype = compute_type(student.dtype)
    student, teacher = student.astype(dtype), teacher.astype(dtype)
    selected = None if mask is None else mask.astype(bool)[..., None]
    if selected is not None:
        student, teacher = jnp.where(selected, student, 0), jnp.where(selected, teacher, 0)
    no_student, no_teacher = student == -jnp.inf, teacher == -jnp.inf
    student_max, teacher_max = student.max(-1, keepdims=True), teacher.max(-1, keepdims=True)

    difference = _logit_difference(teacher, student, teacher_max, student_max, temperature)
    student_shifted = _in_range((student - student_max) / temperature)
    teacher_shifted = _in_range((teacher - teacher_max) / temperature)
    student_exp, teacher_exp = jnp.exp(student_shifted), jnp.exp(teacher_shifted)
    student_sum, teacher_sum = student_exp.sum(-1, keepdims=True), teacher_exp.sum(-1, keepdims=True)
    relative = exp_difference(student_exp, teacher_exp, difference).sum(-1, keepdims=True) / student_sum
    shift = jnp.where(jnp.abs(relative) < 0.5, log1p(relative), jnp.log(teacher_sum / student_sum))
    student_log, teacher_log = jnp.log(student_sum), jnp.log(teacher_sum)

    # a maximum need not pass NaN on, a sum does
    valid = jnp.isfinite(student_sum + teacher_sum) & jnp.isfinite(student_max) & jnp.isfinite(teacher_max)
    largest = student == student_max
    top_logit = jnp.where(largest, teacher, -jnp.inf).max(-1, keepdims=True)
    top_valid = jnp.isfinite(top_logit)
    top_logit = jnp.where(top_valid, top_logit, teacher_max)
    return Rows(
        selected,
        valid,
        no_student,
        no_teacher,
        jnp.where(no_student | no_teacher, 0, difference),
        shift,
        jnp.where(no_student, 0, student_shifted - student_log),
        jnp.where(no_teacher, 0, teacher_shifted - teacher_log),
        _logit_difference(teacher, student, top_logit, student_max, temperature),
        student_shifted,
        student_exp / student_sum,
        teacher_exp / teacher_sum,
        teacher_shifted,
        largest & (teacher == top_logit),
        _logit_difference(top_logit, student_max, teacher_max, student_max, temperature),
        -student_log,
        (top_logit - teacher_max) / temperature - teacher_log,
        top_valid,
    )
