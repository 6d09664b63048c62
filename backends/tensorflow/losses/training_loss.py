"""The training loss of a method (`backends.common.methods`) as a function of both networks' logits and the labels."""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL
from ...common.methods import Objective
from .. import divergences, objectives
from ..objectives import cross_entropy
from .alpha_beta import packed_ab_divergence
from .operands import pack
from .rows import compute_type

_AB = "ab_divergence"


def pack_numbers(objective: Objective) -> tf.Tensor:
    """The parameters of L that are operands of the compiled step: those of the α-β-divergence; others are compiled in."""
    if objective.function != _AB:
        return tf.zeros([0], tf.float64)
    given = objective.parameters
    return pack(given["alpha"], given["beta"], given["temperature"])


def signature(objective: Objective) -> tuple[Any, ...]:
    """What a compiled step depends on: whatever `pack_numbers` and the two weights do not hold."""
    compiled_in = () if objective.function == _AB else tuple(objective.parameters.items())
    return objective.function, compiled_in, objective.hard_weight == 0


def training_loss(objective: Objective) -> Callable[..., tf.Tensor]:
    """Return (student_logits, teacher_logits, labels, numbers, weights) → hard · CE + distill · L.

    Logits are `[..., C]`, labels `[...]`; rows whose label is −100 count in neither term. `numbers` is the vector of
    `pack_numbers`, `weights` are (distill, hard). The loss is float64 for float64 students, else float32.
    """
    has_hard_term = objective.hard_weight != 0
    term = distillation_term(objective) if objective.needs_teacher else None

    def loss(
        student: tf.Tensor, teacher: tf.Tensor | None, labels: tf.Tensor, numbers: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        total = tf.zeros([], compute_type(student.dtype))
        if has_hard_term:
            hard = cross_entropy(student, labels, ignore_index=IGNORED_LABEL)
            total += tf.cast(weights[1], total.dtype) * hard
        if term is not None:
            distill = term(student, tf.stop_gradient(teacher), labels, numbers)
            total += tf.cast(weights[0], total.dtype) * distill
        return total

    return loss


def distillation_term(objective: Objective) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return (student_logits, teacher_logits, labels, numbers) → L, the mean over the rows that count."""
    if objective.function == _AB:
        return lambda student, teacher, labels, numbers: packed_ab_divergence(
            student, teacher, numbers, tf.not_equal(labels, IGNORED_LABEL), "mean"
        )
    known = hasattr(objectives, objective.function) and objective.function.endswith("_loss")
    function = getattr(objectives if known else divergences, objective.function)
    accepted, parameters = inspect.signature(function).parameters, dict(objective.parameters)
    if "labels" in accepted:
        return lambda student, teacher, labels, numbers: function(student, teacher, labels, **parameters)
    if "mask" in accepted:
        return lambda student, teacher, labels, numbers: function(
            student, teacher, mask=tf.not_equal(labels, IGNORED_LABEL), **parameters
        )

    def without_mask(student: tf.Tensor, teacher: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        # equal logits add exactly nothing to such an objective's mean over all rows
        mask = tf.not_equal(labels, IGNORED_LABEL)
        student, teacher = (tf.where(mask[..., None], logits, tf.zeros_like(logits)) for logits in (student, teacher))
        value = function(student, teacher, **parameters)
        counted = tf.maximum(tf.math.count_nonzero(mask, dtype=tf.int32), 1)
        return value * tf.cast(tf.size(labels) / counted, value.dtype)

    return without_mask
