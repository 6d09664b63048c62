"""The way from a user's logits to a divergence: checks, types, masks, reductions, and the rule of differentiation.

A divergence is a row function: of the prepared rows and its parameters it gives each row's value and h = −∂D/∂t, t the
student's log-probabilities.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import check_reduction, check_shapes
from .rows import Rows, compute_type, prepare

# (rows, packed parameters) -> (values `[...]`, h `[..., classes]` up to a multiple of the student's probabilities)
RowFunction = Callable[[Rows, jax.Array], tuple[jax.Array, jax.Array]]


def evaluate(
    row_function: RowFunction, student_logits: Any, teacher_logits: Any, pack: Callable, mask: Any, reduction: str
) -> jax.Array:
    """Check the arguments that all divergences share and compute one.

    Args:
        row_function: a function of the module's top level: compiled code is kept by it.
        student_logits, teacher_logits, mask, reduction: as in `ab_divergence`.
        pack: (computing type) -> vector of that type, the temperature and then what `row_function` takes.
    """
    check_reduction(reduction)
    student, teacher = as_logits("student_logits", student_logits), as_logits("teacher_logits", teacher_logits)
    mask = None if mask is None else jnp.asarray(mask)
    check_shapes(student.shape, teacher.shape, None if mask is None else mask.shape)
    arguments = (student, teacher, mask, pack(compute_type(student.dtype)))
    if not any(isinstance(x, jax.core.Tracer) for x in arguments):
        # nothing is being differentiated: save the overhead of the rule
        return _reduced(_compiled_value(*arguments, row_function=row_function), mask, reduction)
    return divergence(row_function, reduction, *arguments)


def as_logits(name: str, logits: Any) -> jax.Array:
    """Return logits as an array; ValueError where they are not floating-point."""
    array = jnp.asarray(logits)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} has type {array.dtype}; logits must be float64, float32, bfloat16 or float16")
    return array


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def divergence(
    row_function: RowFunction, reduction: str, student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array
) -> jax.Array:
    """`evaluate` of checked arguments.

    Compiled pieces within, the derivative's rule outside: eager calls of either then cost a dispatch or two.
    """
    return _reduced(_compiled_value(student, teacher, mask, packed, row_function=row_function), mask, reduction)


def _forward(row_function: RowFunction, reduction: str, student: Any, teacher: Any, mask: Any, packed: Any) -> tuple:
    values, gradient = _compiled_value_and_gradient(student, teacher, mask, packed, row_function=row_function)
    # an array of the student's type (and no elements) carries that type to the backward pass
    return _reduced(values, mask, reduction), (gradient, mask, np.zeros((0,), student.dtype))


def _backward(row_function: RowFunction, reduction: str, residuals: tuple, cotangent: jax.Array) -> tuple:
    return _compiled_scale(*residuals, cotangent, reduction=reduction), None, None, None


divergence.defvjp(_forward, _backward)


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


@partial(jax.jit, static_argnames="row_function")
def _compiled_value(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, row_function: RowFunction
) -> jax.Array:
    """Row values `[...]`, 0 in rows that do not count."""
    rows = prepare(student, teacher, mask, packed[0])
    return _finish_value(rows, row_function(rows, packed)[0])


@partial(jax.jit, static_argnames="row_function")
def _compiled_value_and_gradient(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, row_function: RowFunction
) -> tuple[jax.Array, jax.Array]:
    """Row values `[...]` and their gradients `[..., classes]` in the computing type, 0 in rows that do not count."""
    return _value_and_gradient(row_function, student, teacher, mask, packed)


@partial(jax.jit, static_argnames="reduction")
def _compiled_scale(
    gradient: jax.Array, mask: Any, like_student: jax.Array, cotangent: jax.Array, *, reduction: str
) -> jax.Array:
    """The rows' gradients times what the reduced value's cotangent means for each row, in the student's type."""
    if reduction == "none" and mask is not None:
        cotangent = jnp.where(mask.astype(bool), cotangent, 0)
    cotangent = cotangent * _row_scale(gradient[..., 0], mask, reduction)
    return (cotangent[..., None] * gradient).astype(like_student.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _value_and_gradient(row_function: RowFunction, student: Any, teacher: Any, mask: Any, packed: Any) -> tuple:
    """Row values `[...]` and their gradients `[..., classes]` in the computing type; differentiating them raises."""
    rows = prepare(student, teacher, mask, packed[0])
    values, slopes = row_function(rows, packed)
    return _finish_value(rows, values), _finish_gradient(rows, slopes, packed[0])


def _refuse(*_: Any) -> Any:
    raise NotImplementedError(
        "the gradient of a divergence was differentiated again, which is not implemented; take first derivatives only "
        "(reverse mode, with respect to the student's logits)"
    )


_value_and_gradient.defvjp(_refuse, _refuse)


def _finish_value(rows: Rows, values: jax.Array) -> jax.Array:
    values = jnp.where(rows.valid[..., 0], values, jnp.nan)
    return values if rows.selected is None else jnp.where(rows.selected[..., 0], values, 0)


def _finish_gradient(rows: Rows, slopes: jax.Array, temperature: jax.Array) -> jax.Array:
    """∂D/∂z = (q Σh − h)/temperature, `[..., classes]`; a class that the student forbids stays so."""
    gradient = (rows.probability * slopes.sum(-1, keepdims=True) - slopes) / temperature
    gradient = jnp.where(rows.no_student, 0, gradient)
    gradient = jnp.where(rows.valid, gradient, jnp.nan)
    return gradient if rows.selected is None else jnp.where(rows.selected, gradient, 0)
