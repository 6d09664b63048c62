"""The training loss of a method (`common.methods`) as a function of both networks, a batch and the method's numbers."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_shapes
from ...common.methods import Objective
from ...common.terms import TermSignature, check_parts, labels_of
from ...common.training.batches import Batch
from . import DIVERGENCES, classification
from .abkd import objective
from .differentiable import Selection
from .labels import cross_entropy
from .operands import pack
from .rows import compute_type

_AB = "ab_divergence"

# terms beside the divergences and those of `classification`, by name; a plug-in may add its own
TERMS: dict[str, Callable[..., jax.Array]] = {}


class Operands(NamedTuple):
    """All numbers of a loss, as arrays: a change of them compiles nothing again.

    Attributes:
        numbers: the term's parameters as one vector for each type that losses may have, by the type's name.
        weights: of the term, the epoch's factor in it, and of the cross-entropy.
        beside: those of the batch's part beside, None where it has none.
        beside_weight: of that part's loss.
    """

    numbers: Mapping[str, np.ndarray]
    weights: np.ndarray
    beside: "Operands | None" = None
    beside_weight: Any = 0.0


def operands(objective: Objective, dtype: str, factor: float = 1.0) -> Operands:
    """The numbers of an objective for losses in `dtype` or a narrower type.

    Args:
        objective: the method with its numbers.
        dtype: "float32" or "float64".
        factor: of the distillation terms, `Objective.factor` of the epoch.
    """
    beside = None if objective.beside is None else operands(objective.beside, dtype, factor)
    numbers = {name: _numbers(objective, np.dtype(name)) for name in ("float32", "float64")[: 1 + (dtype == "float64")]}
    weights = np.array((factor * objective.distill_weight, objective.hard_weight), dtype)
    return Operands(numbers, weights, beside, np.array(objective.beside_weight, dtype))


def _numbers(chosen: Objective, dtype: np.dtype) -> np.ndarray:
    if chosen.term not in ("", _AB):
        return np.array(list(chosen.parameters.values()), dtype)
    parameters = dict(chosen.parameters) or {"alpha": 1.0, "beta": 0.0, "temperature": 1.0}
    return np.asarray(pack(parameters["alpha"], parameters["beta"], parameters["temperature"], dtype))


class Signature(NamedTuple):
    """What a compiled step depends on: all of an objective but its numbers.

    Attributes:
        method: its name.
        term, takes: as in `Objective`.
        names: of the term's numbers.
        labelled: whether the cross-entropy with the labels counts.
        beside: the signature of the part beside, None where there is none.
    """

    method: str
    term: str
    takes: str
    names: tuple[str, ...]
    labelled: bool
    beside: "Signature | None"


def signature(objective: Objective) -> Signature:
    """What a compiled step depends on; the cross-entropy is always computed where the term has logits at hand."""
    beside = None if objective.beside is None else signature(objective.beside)
    labelled = objective.hard_weight != 0 or objective.takes != "models"
    return Signature(objective.method, objective.term, objective.takes, tuple(objective.parameters), labelled, beside)


def training_loss(objective: Objective) -> Callable[[Any, Any, Batch, Operands], jax.Array]:
    """Return (student, teacher, batch, operands) → hard_weight · CE + factor · distill_weight · L, and the part beside.

    The networks are callables from a batch's inputs to logits `[..., C]`; for methods that take heads, their `heads` gives
    hidden states `[..., D]` and the output weight `[C, D]`. The teacher is asked first, as a constant; it may be None
    where the method has no term. Labels are `[...]`; rows whose label is −100 count in neither term. The loss is float64
    for float64 students, else float32. Operands may be traced, so that no value of them is compiled in, and objectives
    that differ in numbers alone have the same function.

    Raises:
        ValueError: a batch has a part beside and the method has none, or the other way round; shapes that do not fit.
    """
    return _training_loss(signature(objective))


@lru_cache(maxsize=64)
def _training_loss(chosen: Signature) -> Callable[[Any, Any, Batch, Operands], jax.Array]:
    main = _part(chosen)
    beside = None if chosen.beside is None else _part(chosen.beside)

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> jax.Array:
        check_parts(chosen, batch)
        total = main(student, teacher, batch[:2], operands)
        if beside is not None:
            further = beside(student, teacher, batch[2], operands.beside)
            total = total + operands.beside_weight.astype(total.dtype) * further
        return total

    return loss


def _part(chosen: Signature) -> Callable[[Any, Any, Batch, Operands], jax.Array]:
    """`training_loss` of a pair (inputs, targets)."""
    if chosen.takes == "models":
        return _models_loss(chosen)
    term = distillation_term(chosen) if chosen.term not in ("", _AB) else None

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> jax.Array:
        inputs, targets = batch
        teacher_outputs = _outputs(teacher, inputs, chosen.takes) if chosen.term else ()
        student_outputs, labels = _outputs(student, inputs, chosen.takes), labels_of(targets)
        logits = _logits(student_outputs)
        check_label_shape(logits.shape, labels.shape)
        if chosen.takes == "logits" and teacher_outputs:
            check_shapes(logits.shape, teacher_outputs[0].shape)
        dtype = compute_type(logits.dtype)
        numbers, weights = operands.numbers[dtype.name], operands.weights.astype(dtype)
        if term is None:
            teacher_logits = teacher_outputs[0] if teacher_outputs else None
            return objective(IGNORED_LABEL, "mean", logits, teacher_logits, labels, numbers, weights, Selection())
        hard = _hard(logits, labels, weights)
        return hard + weights[0] * term((*student_outputs, *teacher_outputs), batch, labels != IGNORED_LABEL, numbers)

    return loss


def _models_loss(chosen: Signature) -> Callable[[Any, Any, Batch, Operands], jax.Array]:
    """The same for a term that takes the networks themselves."""
    term = distillation_term(chosen)

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> jax.Array:
        dtype = compute_type(jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(nnx.state(student, nnx.Param)))))
        numbers, weights, labels = operands.numbers[dtype.name], operands.weights.astype(dtype), labels_of(batch[1])
        total = weights[0] * term((student, teacher), batch, labels != IGNORED_LABEL, numbers)
        return total + _hard(student(batch[0]), labels, weights) if chosen.labelled else total

    return loss


def distillation_term(chosen: Signature) -> Callable[[tuple, Batch, Any, jax.Array], jax.Array]:
    """Return (what the term takes, batch, mask, numbers) → L, the mean over the rows that the mask selects.

    The term is called with what it takes, the student's first: logits and logits; hidden states and output weight, twice;
    or model and model. `TermSignature` says what else it may ask for.
    """
    function = TERMS.get(chosen.term) or DIVERGENCES.get(chosen.term) or getattr(classification, chosen.term)
    accepted = TermSignature.of(function)

    def term(networks: tuple, batch: Batch, mask: jax.Array, numbers: jax.Array) -> jax.Array:
        parameters = {name: numbers[index] for index, name in enumerate(chosen.names)}
        if accepted.leaves_rows_out or chosen.takes != "logits":
            return function(*networks, **accepted.arguments(batch, mask), **parameters)
        # equal logits add exactly nothing to such an objective's mean over all rows
        networks = tuple(jnp.where(mask[..., None], logits, 0) for logits in networks)
        value = function(*networks, **accepted.arguments(batch, mask), **parameters)
        return value * (mask.size / jnp.maximum(mask.sum(), 1)).astype(value.dtype)

    return term


def _hard(logits: jax.Array, labels: jax.Array, weights: jax.Array) -> jax.Array:
    hard = cross_entropy(logits.astype(compute_type(logits.dtype)), labels, ignore_index=IGNORED_LABEL)
    return jnp.where(weights[1] == 0, 0, weights[1] * hard)  # a forbidden label's infinity does not count then


def _outputs(model: Any, inputs: Any, takes: str) -> tuple[jax.Array, ...]:
    """(logits,), or (hidden states, output weight) of a model asked for its heads."""
    return model.heads(inputs) if takes == "heads" else (model(inputs),)


def _logits(outputs: tuple[jax.Array, ...]) -> jax.Array:
    return outputs[0] if len(outputs) == 1 else outputs[0] @ outputs[1].T
