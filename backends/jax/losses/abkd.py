"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL, check_number
from .alpha_beta import packed_ab_divergence
from .differentiable import check_arguments
from .labels import check_labels, cross_entropy
from .operands import pack
from .rows import compute_type


def abkd_loss(
    student_logits: jax.typing.ArrayLike,
    teacher_logits: jax.typing.ArrayLike,
    labels: jax.typing.ArrayLike,
    alpha: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    distill_weight: Any = 1.0,
    hard_weight: Any = 1.0,
    ignore_index: int = IGNORED_LABEL,
) -> jax.Array:
    """hard_weight · CE(student, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    Both terms are means over the rows whose label is not `ignore_index`; the cross-entropy is at temperature 1. No
    factor temperature² is applied: put it into `distill_weight` where a method has one. Differentiable once, in reverse
    mode, with respect to the student's logits.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: the same shape; a constant.
        labels: `[...]` integers in 0 … classes − 1, or `ignore_index`. Under jit a label beyond makes the loss NaN.
        alpha, beta, temperature: as in `ab_divergence`.
        distill_weight, hard_weight: weights of the two terms, numbers or traced scalars.
        ignore_index: label of rows that count in neither term.

    Returns:
        Scalar, float64 if the student is float64, else float32; 0 where no row counts.

    Raises:
        ValueError: a concrete argument has a bad shape or value.
    """
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "mean")
    labels = check_labels(labels, student, ignore_index)
    dtype = compute_type(student.dtype)
    packed = pack(alpha, beta, temperature, dtype)
    weights = pack_weights(distill_weight, hard_weight, dtype)
    return objective(int(ignore_index), student, teacher, labels, packed, weights)


def pack_weights(distill_weight: Any, hard_weight: Any, dtype: np.dtype) -> Any:
    """Both weights as one vector of `dtype`; ValueError where a concrete one is not finite."""
    given = {"distill_weight": distill_weight, "hard_weight": hard_weight}
    if any(isinstance(value, jax.core.Tracer) for value in given.values()):
        return jax.lax.stop_gradient(jnp.stack([jnp.asarray(value, dtype) for value in given.values()]))
    return np.array([check_number(name, value) for name, value in given.items()], dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def objective(
    ignore_index: int, student: jax.Array, teacher: jax.Array | None, labels: jax.Array, packed: Any, weights: Any
) -> jax.Array:
    """`abkd_loss` of checked arguments; without a teacher only the cross-entropy."""
    return _compiled_value(student, teacher, labels, packed, weights, ignore_index=ignore_index)


def _loss(student: jax.Array, teacher: Any, labels: Any, packed: Any, weights: Any, ignore_index: int) -> jax.Array:
    student = student.astype(compute_type(student.dtype))
    hard = weights[1] * cross_entropy(student, labels, ignore_index=ignore_index)
    hard = jnp.where(weights[1] == 0, 0, hard)  # a forbidden label's infinity does not count then
    if teacher is None:
        return hard
    return hard + weights[0] * packed_ab_divergence(student, teacher, packed, labels != ignore_index, "mean")


_compiled_value = jax.jit(_loss, static_argnames="ignore_index")
_compiled_value_and_gradient = jax.jit(jax.value_and_grad(_loss), static_argnames="ignore_index")


@jax.jit
def _compiled_scale(gradient: jax.Array, cotangent: jax.Array) -> jax.Array:
    return (cotangent * gradient).astype(gradient.dtype)


def _forward(ignore_index: int, student: Any, teacher: Any, labels: Any, packed: Any, weights: Any) -> tuple:
    arguments = (student, teacher, labels, packed, weights)
    return _compiled_value_and_gradient(*arguments, ignore_index=ignore_index)


def _backward(ignore_index: int, gradient: jax.Array, cotangent: jax.Array) -> tuple:
    return _compiled_scale(gradient, cotangent), None, None, None, None


objective.defvjp(_forward, _backward)
