"""The way from a user's logits to a divergence: checks, masks, weights, reductions, and the rule of differentiation."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import (
    check_mask,
    check_no_output,
    check_normalizer,
    check_reduction,
    check_shapes,
    check_weights,
    warn_of_swapped,
)
from .execution import RowFunction, compiled_value, compiled_value_and_gradient
from .operands import check_in_type
from .rows import compute_type

_JAX = str(Path(jax.__file__).parent)


class Selection(NamedTuple):
    """Which rows count and how much, W of a reduction, as operands of compiled code.

    Attributes:
        mask: `[...]`, the rows that count; None for all.
        weights: `[...]` in the computing type, 0 in rows that do not count; None for 1 in all that do.
        normalizer: scalar in the computing type that a sum is divided by; None for Σ W with "mean" and 1 with "sum".
    """

    mask: Any = None
    weights: Any = None
    normalizer: Any = None

    def counted(self, logits: jax.Array) -> jax.Array:
        """Logits `[..., classes]`, 0 in rows that do not count, which may hold anything."""
        return logits if self.mask is None else jnp.where(self.mask[..., None], logits, 0)

    def divisor(self, values: jax.Array, reduction: str) -> jax.Array:
        """What the sum of the rows' weighted `values` is divided by: 1 where no row counts."""
        if self.normalizer is not None:
            return self.normalizer
        if reduction != "mean":
            return jnp.ones((), values.dtype)
        if self.weights is not None:
            total = self.weights.sum()
            return jnp.where(total == 0, 1, total)
        count = jnp.asarray(values.size if self.mask is None else self.mask.astype(bool).sum(), values.dtype)
        return jnp.maximum(count, 1)

    def weighted(self, values: jax.Array) -> jax.Array:
        """The rows' values times their weights."""
        return values if self.weights is None else values * self.weights

    def reduced(self, values: jax.Array, reduction: str) -> jax.Array:
        """The rows' values, 0 where they do not count, weighted and reduced."""
        values = self.weighted(values)
        return values if reduction == "none" else values.sum() / self.divisor(values, reduction)


def check_arguments(
    student_logits: Any, teacher_logits: Any, mask: Any, reduction: str
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Student's and teacher's logits and the mask as arrays that fit each other.

    Raises:
        ValueError: shapes that differ, an unknown reduction.
        TypeError: logits that are not floating point, or what a model returns around them; a floating mask that does not
            hold zeros and ones, or is traced.
    """
    check_reduction(reduction)
    student, teacher = _as_logits("student_logits", student_logits), _as_logits("teacher_logits", teacher_logits)
    mask = None if mask is None else jnp.asarray(mask)
    check_shapes(student.shape, teacher.shape, None if mask is None else mask.shape)
    if mask is not None:
        looked_at = jnp.issubdtype(mask.dtype, jnp.floating) and not isinstance(mask, jax.core.Tracer)
        check_mask(mask.dtype.name, np.asarray(mask) if looked_at else None)
    return student, teacher, mask


def _as_logits(name: str, logits: Any) -> jax.Array:
    check_no_output(name, logits)
    array = jnp.asarray(logits)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} has type {array.dtype}; logits must be float64, float32, bfloat16 or float16")
    return array


def select_rows(
    student: jax.Array, mask: jax.Array | None, weights: Any, reduction: str = "mean", normalizer: Any = None
) -> Selection:
    """Bring a mask, weights and a normalizer, each of which may be None, together.

    Args:
        student: logits `[..., classes]`, for shape and type.
        mask: `[...]`, the rows that can count.
        weights: `[...]` real, finite, ≥ 0: constants. Rows of weight 0 do not count.
        reduction: of the loss.
        normalizer: a positive number or scalar.

    Raises:
        ValueError: concrete weights that are negative or not finite, a shape that does not fit, a normalizer that is not
            positive or without a sum to divide.
        TypeError: weights that are no real numbers.
    """
    dtype = compute_type(student.dtype)
    if normalizer is not None:
        concrete = not isinstance(normalizer, jax.core.Tracer) and np.size(normalizer) == 1
        value = np.asarray(normalizer).item() if concrete else None
        check_normalizer(np.shape(normalizer), value, reduction)
        number = normalizer if value is None else check_in_type("normalizer", value, dtype, float(np.finfo(dtype).tiny))
        normalizer = jax.lax.stop_gradient(jnp.reshape(jnp.asarray(number, dtype), ()))
    if weights is not None:
        weights = jnp.asarray(weights)
        check_shapes(student.shape, student.shape, weights_shape=weights.shape)
        check_weights(weights.dtype.name, None if isinstance(weights, jax.core.Tracer) else np.asarray(weights, dtype))
        weights = jax.lax.stop_gradient(weights.astype(dtype))
        mask = weights != 0 if mask is None else mask.astype(bool) & (weights != 0)
        weights = jnp.where(mask, weights, 0)
    return Selection(mask, weights, normalizer)


def evaluate(
    row_function: RowFunction, student: jax.Array, teacher: jax.Array, packed: Any, selection: Selection, reduction: str
) -> jax.Array:
    """A divergence of arguments that are checked already.

    Args:
        row_function: see `backends.jax.losses.execution`.
        student, teacher, reduction: as `check_arguments` returns them.
        packed: of `backends.jax.losses.operands`: the temperature, and then what the row function takes.
        selection: of `select_rows`.
    """
    if not any(isinstance(x, jax.core.Tracer) for x in (student, teacher, packed, *selection)):
        # nothing is being differentiated: save the overhead of the rule
        values = compiled_value(student, teacher, selection.mask, packed, row_function=row_function)
        return _compiled_reduction(values, selection, reduction=reduction)
    return _divergence(row_function, reduction, student, teacher, selection, packed)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _divergence(
    row_function: RowFunction, reduction: str, student: jax.Array, teacher: jax.Array, selection: Selection, packed: jax.Array
) -> jax.Array:
    """`evaluate` of checked arguments.

    Compiled pieces within, the derivative's rule outside: eager calls of either then cost a dispatch or two.
    """
    values = compiled_value(student, teacher, selection.mask, packed, row_function=row_function)
    return _compiled_reduction(values, selection, reduction=reduction)


def _forward(row_function: RowFunction, reduction: str, *differentiated: Any) -> tuple:
    student, teacher, selection, packed = primals(*differentiated)
    values, gradient = compiled_value_and_gradient(student, teacher, selection.mask, packed, row_function=row_function)
    # an array of the student's type (and no elements) carries that type to the backward pass
    residuals = (gradient, selection, np.zeros((0,), student.dtype))
    return _compiled_reduction(values, selection, reduction=reduction), residuals


def _backward(row_function: RowFunction, reduction: str, residuals: tuple, cotangent: jax.Array) -> tuple:
    return _compiled_scale(*residuals, cotangent, reduction=reduction), None, None, None


_divergence.defvjp(_forward, _backward, symbolic_zeros=True)


def primals(student: Any, teacher: Any, *others: Any) -> tuple:
    """The values of arguments that are differentiated with symbolic zeros; a warning where only the teacher has a gradient."""
    warn_of_swapped(student.perturbed, teacher is not None and teacher.perturbed, through=_JAX)
    return jax.tree.map(lambda argument: argument.value, (student, teacher, *others))


# reductions are compiled apart, so that one compilation of a divergence serves all of them
@partial(jax.jit, static_argnames="reduction")
def _compiled_reduction(values: jax.Array, selection: Selection, *, reduction: str) -> jax.Array:
    values = selection.weighted(values)
    return values if reduction == "none" else values.sum() * (1 / selection.divisor(values, reduction))


@partial(jax.jit, static_argnames="reduction")
def _compiled_scale(
    gradient: jax.Array, selection: Selection, like_student: jax.Array, cotangent: jax.Array, *, reduction: str
) -> jax.Array:
    """The rows' gradients times what the reduced value's cotangent means for each row, in the student's type."""
    if reduction == "none" and selection.mask is not None:
        cotangent = jnp.where(selection.mask.astype(bool), cotangent, 0)
    cotangent = selection.weighted(cotangent * (1 / selection.divisor(gradient[..., 0], reduction)))
    return (cotangent[..., None] * gradient).astype(like_student.dtype)
