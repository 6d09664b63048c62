"""The training loss of a method (`backends.common.methods`) as a function of both networks' logits and the labels."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_shapes
from ...common.methods import Objective
from .. import divergences, objectives
from ..objectives import cross_entropy, objective
from .operands import pack
from .rows import compute_type

_AB = "ab_divergence"


def pack_numbers(chosen: Objective, dtype: np.dtype) -> np.ndarray:
    """The parameters of L as one vector of `dtype`, for `training_loss`."""
    if not chosen.needs_teacher or chosen.function == _AB:
        given = dict(chosen.parameters) or {"alpha": 1.0, "beta": 0.0, "temperature": 1.0}
        return np.asarray(pack(given["alpha"], given["beta"], given["temperature"], dtype))
    return np.array(list(chosen.parameters.values()), dtype)


def training_loss(function: str, names: tuple[str, ...]) -> Callable[..., jax.Array]:
    """Return (student_logits, teacher_logits, labels, numbers, weights) → hard · CE + distill · L.

    Logits are `[..., classes]`, labels `[...]`; rows whose label is −100 count in neither term. `numbers` is the vector
    of `pack_numbers`, `weights` are (distill, hard); both may be traced, so that no value is compiled in.

    Args:
        function: of `Objective`, empty for the cross-entropy alone.
        names: of the function's arguments, in the order of `Objective.parameters`.
    """
    if function in ("", _AB):
        return lambda student, teacher, labels, numbers, weights: objective(
            IGNORED_LABEL, student, teacher, labels, numbers, weights
        )
    term = distillation_term(function)

    def loss(student: Any, teacher: Any, labels: Any, numbers: Any, weights: Any) -> jax.Array:
        check_label_shape(student.shape, labels.shape)
        check_shapes(student.shape, teacher.shape)
        hard = cross_entropy(student.astype(compute_type(student.dtype)), labels, ignore_index=IGNORED_LABEL)
        parameters = {name: numbers[place] for place, name in enumerate(names)}
        hard = jnp.where(weights[1] == 0, 0, weights[1] * hard)  # a forbidden label's infinity does not count then
        return hard + weights[0] * term(student, teacher, labels, labels != IGNORED_LABEL, parameters)

    return loss


def distillation_term(name: str) -> Callable[..., jax.Array]:
    """Return (student_logits, teacher_logits, labels, mask, parameters) → L, the mean over the rows of the mask."""
    function = getattr(objectives if name in objectives.__all__ else divergences, name)
    accepted = inspect.signature(function).parameters
    if "labels" in accepted:
        return lambda student, teacher, labels, mask, parameters: function(student, teacher, labels, **parameters)
    if "mask" in accepted:
        return lambda student, teacher, labels, mask, parameters: function(student, teacher, mask=mask, **parameters)

    def without_mask(student: Any, teacher: Any, labels: Any, mask: Any, parameters: dict[str, Any]) -> jax.Array:
        # equal logits add exactly nothing to such an objective's mean over all rows
        student, teacher = (jnp.where(mask[..., None], logits, 0) for logits in (student, teacher))
        value = function(student, teacher, **parameters)
        return value * (mask.size / jnp.maximum(mask.sum(), 1)).astype(value.dtype)

    return without_mask
