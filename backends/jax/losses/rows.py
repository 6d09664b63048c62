"""Rows of teacher and student logits, prepared once for every divergence."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .divided_differences import exp_difference, log1p

# stands for an infinite log-ratio, where one probability is 0
FAR = 1e30


def compute_type(dtype: Any) -> np.dtype:
    """The type in which logits of type `dtype` are computed with and values are returned."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


class Rows(NamedTuple):
    """Softmax statistics of rows of logits; `[..., classes]`, or `[..., 1]` where marked with 1.

    XLA leaves out what a formula does not read, so that everything that some formula reads is here.

    Attributes:
        teacher_log, student_log: s = log p and t = log q, p the teacher's probabilities and q the student's; 0 where
            that side's logit is −inf.
        log_ratio: δ = s − t = relative − shift, without the rounding of s and t.
        relative: (teacher − student logit, both relative to their maxima) / temperature; 0 where either is −inf.
        shift: log-partition of the teacher less the student's (1).
        top_relative: `relative` of the student's most likely class (1).
        from_top: δ less that of the student's most likely class, rounded once.
        student_probability, teacher_probability: q and p; 0 where that logit is −inf.
        no_teacher, no_student: where that logit is −inf, or so far below its row's largest that it is as good as that.
        top_teacher_log, top_student_log: s and t of the student's most likely class (1).
        is_top, top_valid: where the student's largest logit is, and whether the teacher allows that class (1).
        below_top, teacher_below_top: (logit − its side's maximum) / temperature, of the teacher −inf where its logit is.
        selected: whether the row counts (1, or None).
        valid: whether the row can be evaluated (1).
    """

    teacher_log: jax.Array
    student_log: jax.Array
    log_ratio: jax.Array
    relative: jax.Array
    shift: jax.Array
    top_relative: jax.Array
    from_top: jax.Array
    student_probability: jax.Array
    teacher_probability: jax.Array
    no_teacher: jax.Array
    no_student: jax.Array
    top_teacher_log: jax.Array
    top_student_log: jax.Array
    is_top: jax.Array
    top_valid: jax.Array
    below_top: jax.Array
    teacher_below_top: jax.Array
    selected: jax.Array | None
    valid: jax.Array

    @property
    def top_log_ratio(self) -> jax.Array:
        """δ of the student's most likely class (1)."""
        return self.top_relative - self.shift


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
    x, lost_both = _two_difference(logits, maxima)
    exact = x + (lost - lost_maxima + lost_both)
    # near the type's limits a difference of both sides may leave its range, or be no number, where those within do not
    apart = in_range(teacher - teacher_max) - in_range(student - student_max)
    return in_range(jnp.where(jnp.isfinite(exact), exact, apart) / temperature)


def in_range(x: jax.Array) -> jax.Array:
    """Hold x within a quarter of its type's range, where finite logits near the type's limits leave it."""
    limit = jnp.finfo(x.dtype).max / 4
    return jnp.clip(x, -limit, limit)


def compare_rows(student: jax.Array, teacher: jax.Array, mask: Any, temperature: jax.Array, farthest: jax.Array) -> Rows:
    """Compare rows of logits, `[..., classes]`; rows that do not count are compared as zeros.

    Args:
        student, teacher, mask, temperature: as of a divergence.
        farthest: of `operands.farthest`.
    """
    dtype = compute_type(student.dtype)
    student, teacher = student.astype(dtype), teacher.astype(dtype)
    selected = None if mask is None else mask.astype(bool)[..., None]
    if selected is not None:
        student, teacher = jnp.where(selected, student, 0), jnp.where(selected, teacher, 0)
    student_max, teacher_max = student.max(-1, keepdims=True), teacher.max(-1, keepdims=True)

    difference = _logit_difference(teacher, student, teacher_max, student_max, temperature)
    student_shifted = in_range((student - student_max) / temperature)
    teacher_shifted = in_range((teacher - teacher_max) / temperature)
    no_student, no_teacher = student_shifted <= -farthest, teacher_shifted <= -farthest
    student_exp, teacher_exp = jnp.exp(student_shifted), jnp.exp(teacher_shifted)
    student_sum, teacher_sum = student_exp.sum(-1, keepdims=True), teacher_exp.sum(-1, keepdims=True)
    change = exp_difference(student_exp, teacher_exp, difference).sum(-1, keepdims=True) / student_sum
    shift = jnp.where(jnp.abs(change) < 0.5, log1p(change), jnp.log(teacher_sum / student_sum))
    student_log, teacher_log = jnp.log(student_sum), jnp.log(teacher_sum)

    # a maximum need not pass NaN on, a sum does
    valid = jnp.isfinite(student_sum + teacher_sum) & jnp.isfinite(student_max) & jnp.isfinite(teacher_max)
    largest = student == student_max
    top_logit = jnp.where(largest & ~no_teacher, teacher, -jnp.inf).max(-1, keepdims=True)
    top_valid = jnp.isfinite(top_logit)
    top_logit = jnp.where(top_valid, top_logit, teacher_max)
    relative = jnp.where(no_student | no_teacher, 0, difference)
    return Rows(
        teacher_log=jnp.where(no_teacher, 0, teacher_shifted - teacher_log),
        student_log=jnp.where(no_student, 0, student_shifted - student_log),
        log_ratio=relative - shift,
        relative=relative,
        shift=shift,
        top_relative=_logit_difference(top_logit, student_max, teacher_max, student_max, temperature),
        from_top=_logit_difference(teacher, student, top_logit, student_max, temperature),
        student_probability=student_exp / student_sum,
        teacher_probability=teacher_exp / teacher_sum,
        no_teacher=no_teacher,
        no_student=no_student,
        top_teacher_log=in_range((top_logit - teacher_max) / temperature) - teacher_log,
        top_student_log=-student_log,
        is_top=largest & (teacher == top_logit),
        top_valid=top_valid,
        below_top=student_shifted,
        teacher_below_top=teacher_shifted,
        selected=selected,
        valid=valid,
    )


def with_absent_far(rows: Rows) -> Rows:
    """The same rows, δ of a class that one side forbids as good as infinite; one that both forbid counts as the student's."""
    log_ratio = jnp.where(rows.no_student, FAR, jnp.where(rows.no_teacher, -FAR, rows.log_ratio))
    # relative to a top class that the teacher forbids, others of that kind are exactly level
    from_top = jnp.where(rows.no_teacher, jnp.where(rows.top_valid, -FAR, 0), jnp.where(rows.top_valid, rows.from_top, FAR))
    return rows._replace(
        log_ratio=log_ratio,
        from_top=jnp.where(rows.no_student, FAR, from_top),
        top_relative=jnp.where(rows.top_valid, rows.top_relative, rows.shift - FAR),
    )
