"""The way from a user's logits to a divergence: checks, masks, reductions, and the rule of differentiation."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import check_reduction, check_shapes
from .execution import RowFunction, compiled_value, compiled_value_and_gradient


def check_arguments(
    student_logits: Any, teacher_logits: Any, mask: Any, reduction: str
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Student's and teacher's logits and the mask as arrays that fit each other.

    Raises:
        ValueError: shapes that differ, an unknown reduction.
        TypeError: logits that are not floating point.
    """
    check_reduction(reduction)
    student, teacher = _as_logits("student_logits", student_logits), _as_logits("teacher_logits", teacher_logits)
    mask = None if mask is None else jnp.asarray(mask)
    check_shapes(student.shape, teacher.shape, None if mask is None else mask.shape)
    return student, teacher, mask


def _as_logits(name: str, logits: Any) -> jax.Array:
    array = jnp.asarray(logits)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} has type {array.dtype}; logits must be float64, float32, bfloat16 or float16")
    return array


def evaluate(
    row_function: RowFunction, student: jax.Array, teacher: jax.Array, packed: Any, mask: jax.Array | None, reduction: str
) -> jax.Array:
    """A divergence of arguments that are checked already.

    Args:
        row_function: see `backends.jax.losses.execution`.
        student, teacher, mask, reduction: as `check_arguments` returns them.
        packed: of `backends.jax.losses.operands`: the temperature, and then what the row function takes.
    """
    if not any(isinstance(x, jax.core.Tracer) for x in (student, teacher, mask, packed)):
        # nothing is being differentiated: save the overhead of the rule
        return _reduced(compiled_value(student, teacher, mask, packed, row_function=row_function), mask, reduction)
    return _divergence(row_function, reduction, student, teacher, mask, packed)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _divergence(
    row_function: RowFunction, reduction: str, student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array
) -> jax.Array:
    """`evaluate` of checked arguments.

    Compiled pieces within, the derivative's rule outside: eager calls of either then cost a dispatch or two.
    """
    return _reduced(compiled_value(student, teacher, mask, packed, row_function=row_function), mask, reduction)


def _forward(row_function: RowFunction, reduction: str, student: Any, teacher: Any, mask: Any, packed: Any) -> tuple:
    values, gradient = compiled_value_and_gradient(student, teacher, mask, packed, row_function=row_function)
    # an array of the student's type (and no elements) carries that type to the backward pass
    return _reduced(values, mask, reduction), (gradient, mask, np.zeros((0,), student.dtype))


def _backward(row_function: RowFunction, reduction: str, residuals: tuple, cotangent: jax.Array) -> tuple:
    return _compiled_scale(*residuals, cotangent, reduction=reduction), None, None, None


_divergence.defvjp(_forward, _backward)


def _row_scale(rows: jax.Array, mask: jax.Array | None, reduction: str) -> jax.Array:
    """What each row is multiplied by: 1, or 1 / (number of rows that count) for "mean"."""
    if reduction != "mean":
        return jnp.ones((), rows.dtype)
    count = jnp.asarray(rows.size if mask is None else mask.astype(bool).sum(), rows.dtype)
    return 1 / jnp.maximum(count, 1)


def _reduced(values: jax.Array, mask: jax.Array | None, reduction: str) -> jax.Array:
    return values if reduction == "none" else _compiled_reduction(values, mask, reduction=reduction)


# reductions are compiled apart, so that one compilation of a divergence serves all of them
@partial(jax.jit, static_argnames="reduction")
def _compiled_reduction(values: jax.Array, mask: jax.Array | None, *, reduction: str) -> jax.Array:
    return values.sum() * _row_scale(values, mask, reduction)


@partial(jax.jit, static_argnames="reduction")
def _compiled_scale(
    gradient: jax.Array, mask: Any, like_student: jax.Array, cotangent: jax.Array, *, reduction: str
) -> jax.Array:
    """The rows' gradients times what the reduced value's cotangent means for each row, in the student's type."""
    if reduction == "none" and mask is not None:
        cotangent = jnp.where(mask.astype(bool), cotangent, 0)
    cotangent = cotangent * _row_scale(gradient[..., 0], mask, reduction)
    return (cotangent[..., None] * gradient).astype(like_student.dtype)
