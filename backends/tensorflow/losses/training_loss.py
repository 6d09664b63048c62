"""The training loss of a method (`common.methods`) as a function of both networks, a batch and the method's numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ...common.arguments import IGNORED_LABEL
from ...common.methods import Objective
from ...common.terms import TermSignature, check_parts, labels_of
from ...common.training.batches import Batch
from . import DIVERGENCES, classification
from .alpha_beta import packed_ab_divergence
from .counting import Counting
from .labels import counted_cross_entropy
from .operands import pack
from .rows import compute_type

_AB = "ab_divergence"

# terms beside the divergences and those of `classification`, by name; a plug-in may add its own
TERMS: dict[str, Callable[..., tf.Tensor]] = {}


class Operands(NamedTuple):
    """The numbers of a loss that are tensors: a change of them compiles nothing again.

    Attributes:
        numbers: the parameters of the α-β-divergence as a vector; those of other terms are compiled in (`signature`).
        weights: of the term, the epoch's factor in it, and of the cross-entropy.
        beside: those of the batch's part beside, empty where it has none.
        beside_weight: of that part's loss.
    """

    numbers: tf.Tensor
    weights: tf.Tensor
    beside: "Operands | tuple[()]" = ()
    beside_weight: tf.Tensor | tuple[()] = ()


def operands(objective: Objective, dtype: str, factor: float = 1.0) -> Operands:
    """The numbers of an objective for losses in `dtype` (all types share the float64 ones).

    Args:
        objective: the method with its numbers.
        dtype: of the losses.
        factor: of the distillation terms, `Objective.factor` of the epoch.
    """
    numbers = tf.zeros([0], tf.float64)
    if objective.term == _AB:
        parameters = objective.parameters
        numbers = pack(parameters["alpha"], parameters["beta"], parameters["temperature"])
    weights = tf.constant(np.array([factor * objective.distill_weight, objective.hard_weight]))
    if objective.beside is None:
        return Operands(numbers, weights)
    beside = operands(objective.beside, dtype, factor)
    return Operands(numbers, weights, beside, tf.constant(objective.beside_weight, tf.float64))


def signature(objective: Objective) -> tuple[Any, ...]:
    """What a compiled step depends on: whatever `operands` does not hold."""
    compiled_in = () if objective.term == _AB else tuple(objective.parameters.items())
    beside = None if objective.beside is None else signature(objective.beside)
    return objective.term, objective.takes, compiled_in, objective.hard_weight == 0, beside


def training_loss(objective: Objective) -> Callable[[Any, Any, Batch, Operands], tf.Tensor]:
    """Return (student, teacher, batch, operands) → hard_weight · CE + factor · distill_weight · L, and the part beside.

    The networks are callables from a batch's inputs to logits `[..., C]`; for methods that take heads, their `heads` gives
    hidden states `[..., D]` and the output weight `[C, D]`. The teacher is asked first, as a constant; it may be None
    where the method has no term. Labels are `[...]`; rows whose label is −100 count in neither term. The loss is float64
    for float64 students, else float32.

    Raises:
        ValueError: a batch has a part beside and the method has none, or the other way round.
    """
    main = _part(objective)
    beside = None if objective.beside is None else _part(objective.beside)

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> tf.Tensor:
        check_parts(objective, batch)
        total = main(student, teacher, batch[:2], operands)
        if beside is not None:
            further = beside(student, teacher, batch[2], operands.beside)
            total += tf.cast(operands.beside_weight, total.dtype) * further
        return total

    return loss


def _part(objective: Objective) -> Callable[[Any, Any, Batch, Operands], tf.Tensor]:
    """`training_loss` of a pair (inputs, targets)."""
    has_hard_term, takes = objective.hard_weight != 0, objective.takes
    term = distillation_term(objective) if objective.term else None
    needs_logits = takes != "models" or has_hard_term or term is None

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> tf.Tensor:
        inputs, labels, weights = batch[0], labels_of(batch[1]), operands.weights
        networks, terms = (student, teacher), []
        if term is not None and takes != "models":
            teacher_outputs = tuple(map(tf.stop_gradient, _outputs(teacher, inputs, takes)))
        if needs_logits:
            student_outputs = _outputs(student, inputs, takes)
            logits = _logits(student_outputs)
            terms.append(tf.zeros([], compute_type(logits.dtype)))
        if has_hard_term:
            # a label that is no class needs no weight here: the compiled operation gives NaN, the other one an error
            counted = tf.not_equal(labels, tf.cast(IGNORED_LABEL, labels.dtype))
            hard = counted_cross_entropy(logits, tf.where(counted, labels, tf.zeros_like(labels)), Counting(counted))
            terms.append(tf.cast(weights[1], hard.dtype) * hard)
        if term is not None:
            networks = networks if takes == "models" else (*student_outputs, *teacher_outputs)
            distilled = term(networks, batch, tf.not_equal(labels, IGNORED_LABEL), operands.numbers)
            terms.append(tf.cast(weights[0], distilled.dtype) * distilled)
        total = terms[0]
        for further in terms[1:]:
            total += further
        return total

    return loss


def distillation_term(objective: Objective) -> Callable[[tuple, Batch, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return (what the term takes, batch, mask, numbers) → L, the mean over the rows that the mask selects.

    The term is called with what it takes, the student's first: logits and logits; hidden states and output weight, twice;
    or model and model. `TermSignature` says what else it may ask for.
    """
    if objective.term == _AB:
        return lambda networks, batch, mask, numbers: packed_ab_divergence(*networks, numbers, Counting(mask))
    function = TERMS.get(objective.term) or DIVERGENCES.get(objective.term) or getattr(classification, objective.term)
    accepted, parameters = TermSignature.of(function), dict(objective.parameters)

    def term(networks: tuple, batch: Batch, mask: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        if accepted.leaves_rows_out or objective.takes != "logits":
            return function(*networks, **accepted.arguments(batch, mask), **parameters)
        # equal logits add exactly nothing to such an objective's mean over all rows
        networks = tuple(tf.where(mask[..., None], logits, tf.zeros_like(logits)) for logits in networks)
        value = function(*networks, **accepted.arguments(batch, mask), **parameters)
        counted = tf.maximum(tf.math.count_nonzero(mask, dtype=tf.int32), 1)
        return value * tf.cast(tf.size(mask) / counted, value.dtype)

    return term


def _outputs(model: Any, inputs: Any, takes: str) -> tuple[tf.Tensor, ...]:
    """(logits,), or (hidden states, output weight) of a model asked for its heads."""
    return model.heads(inputs) if takes == "heads" else (model(inputs),)


def _logits(outputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
    return outputs[0] if len(outputs) == 1 else tf.matmul(outputs[0], outputs[1], transpose_b=True)
