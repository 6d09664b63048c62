"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL
from .alpha_beta import packed_ab_divergence
from .differentiable import Selection, check_arguments, primals, select_rows
from .labels import check_labels, nan_where_unknown, selected_cross_entropy, shift_left
from .operands import check_concrete, pack
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
    reduction: str = "mean",
    shift: bool = False,
    weights: Any = None,
    normalizer: Any = None,
) -> jax.Array:
    """hard_weight · CE(student, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    Both terms are means over the rows whose label is not `ignore_index`; the cross-entropy is at temperature 1. No
    factor temperature² is applied: put it into `distill_weight` where a method has one. Differentiable once, in reverse
    mode, with respect to the student's logits.

    Args:
        student_logits: `[..., classes]`.
        teacher_logits: the same shape; a constant.
        labels: `[...]` integers in 0 … classes − 1, or `ignore_index`; labels[t] is the class that logits[t] predicts. Under
            jit a label beyond makes the loss NaN.
        alpha, beta, temperature: as in `ab_divergence`.
        distill_weight, hard_weight: weights of the two terms, numbers or traced scalars.
        ignore_index: label of rows that count in neither term.
        reduction: "mean" (Σ weight · loss / Σ weight), "sum" (Σ weight · loss) or "none" (`[...]`, weight · loss).
        shift: whether labels are the input ids, as Hugging Face gives them: logits[t] predict labels[t + 1] then, and the
            last place is ignored.
        weights: `[...]`, real, finite, ≥ 0, a constant: what each label's row counts in both terms, 1 if None.
        normalizer: a positive number or scalar that the sum is divided by in place of Σ weight: with the whole batch's
            (`num_items_in_batch`) the losses of its parts add up to the batch's.

    Returns:
        Scalar (or `[...]`), float64 if the student is float64, else float32; 0 where no row counts.

    Raises:
        ValueError: a concrete argument has a bad shape or value.
        TypeError: logits that are not floating point, labels that are not integers.
    """
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, reduction)
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    labels = check_labels(labels, student, ignore_index)
    student = nan_where_unknown(student, labels, ignore_index)
    dtype = compute_type(student.dtype)
    packed = pack(alpha, beta, temperature, dtype)
    term_weights = pack_weights(distill_weight, hard_weight, dtype)
    selection = select_rows(student, None if weights is None else labels != ignore_index, weights, reduction, normalizer)
    return objective(int(ignore_index), reduction, student, teacher, labels, packed, term_weights, selection)


def pack_weights(distill_weight: Any, hard_weight: Any, dtype: np.dtype) -> Any:
    """Both weights as one vector of `dtype`; ValueError where a concrete one is not finite."""
    given = {"distill_weight": distill_weight, "hard_weight": hard_weight}
    checked = check_concrete(given, dtype)
    if all(isinstance(value, float) for value in checked):
        return np.array(checked, dtype)
    return jax.lax.stop_gradient(jnp.stack([jnp.asarray(value, dtype) for value in checked]))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def objective(
    ignore_index: int,
    reduction: str,
    student: jax.Array,
    teacher: jax.Array | None,
    labels: jax.Array,
    packed: Any,
    term_weights: Any,
    selection: Selection,
) -> jax.Array:
    """`abkd_loss` of checked arguments; without a teacher only the cross-entropy.

    A selection without a mask is that of the rows whose label is not `ignore_index`.
    """
    operands = (student, teacher, labels, packed, term_weights, selection)
    return _compiled_value(*operands, ignore_index=ignore_index, reduction=reduction)


def _loss(
    student: jax.Array,
    teacher: Any,
    labels: Any,
    packed: Any,
    term_weights: Any,
    selection: Selection,
    ignore_index: int,
    reduction: str,
) -> jax.Array:
    student = student.astype(compute_type(student.dtype))
    if selection.mask is None:
        selection = selection._replace(mask=labels != ignore_index)
    hard = term_weights[1] * selected_cross_entropy(student, labels, selection, reduction)
    hard = jnp.where(term_weights[1] == 0, 0, hard)  # a forbidden label's infinity does not count then
    if teacher is None:
        return hard
    soft = term_weights[0] * packed_ab_divergence(student, teacher, packed, selection, reduction)
    return hard + jnp.where(term_weights[0] == 0, 0, soft)  # nor does that of a divergence


def _value_and_gradient(student: jax.Array, *operands: Any, ignore_index: int, reduction: str) -> tuple:
    """The loss, and the gradient of its rows' sum in the computing type, whatever the student's."""

    def total(student: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = _loss(student, *operands, ignore_index, reduction)
        return value if value.ndim == 0 else value.sum(), value

    (_, value), gradient = jax.value_and_grad(total, has_aux=True)(student.astype(compute_type(student.dtype)))
    return value, gradient


_static = ("ignore_index", "reduction")
_compiled_value = jax.jit(_loss, static_argnames=_static)
_compiled_value_and_gradient = jax.jit(_value_and_gradient, static_argnames=_static)


@jax.jit
def _compiled_scale(gradient: jax.Array, like_student: jax.Array, cotangent: jax.Array) -> jax.Array:
    if cotangent.ndim:
        cotangent = cotangent[..., None]
    return (cotangent * gradient).astype(like_student.dtype)


def _forward(ignore_index: int, reduction: str, *differentiated: Any) -> tuple:
    operands = primals(*differentiated)
    value, gradient = _compiled_value_and_gradient(*operands, ignore_index=ignore_index, reduction=reduction)
    # an array of the student's type (and no elements) carries that type to the backward pass
    return value, (gradient, np.zeros((0,), operands[0].dtype))


def _backward(ignore_index: int, reduction: str, residuals: tuple, cotangent: jax.Array) -> tuple:
    return _compiled_scale(*residuals, cotangent), None, None, None, None, None


objective.defvjp(_forward, _backward, symbolic_zeros=True)
