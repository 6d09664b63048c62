"""The training loss of a method (`common.methods`) as a function of both networks, a batch and the method's numbers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_shapes
from ...common.methods import Objective
from ...common.terms import TermSignature, check_parts, labels_of
from ...common.training.batches import Batch
from . import DIVERGENCES, classification
from .alpha_beta import packed_ab_divergence
from .differentiable import row_weights
from .labels import cross_entropy
from .operands import pack

_AB = "ab_divergence"

# terms beside the divergences and those of `classification`, by name; a plug-in may add its own
TERMS: dict[str, Callable[..., torch.Tensor]] = {}


class Operands(NamedTuple):
    """All numbers of a loss: a change of them compiles nothing again.

    Attributes:
        numbers: the term's parameters by name; those of the α-β-divergence as `pack` gives them.
        weights: of the term, the epoch's factor in it, and of the cross-entropy.
        beside: those of the batch's part beside, None where it has none.
        beside_weight: of that part's loss.
    """

    numbers: Mapping[str, float] | tuple[float, ...]
    weights: tuple[float, float]
    beside: "Operands | None" = None
    beside_weight: float = 0.0


def operands(objective: Objective, dtype: torch.dtype, factor: float = 1.0) -> Operands:
    """The numbers of an objective for losses in `dtype` (here all types share them).

    Args:
        objective: the method with its numbers.
        dtype: of the losses.
        factor: of the distillation terms, `Objective.factor` of the epoch.
    """
    beside = None if objective.beside is None else operands(objective.beside, dtype, factor)
    weights = (factor * objective.distill_weight, objective.hard_weight)
    numbers = objective.parameters
    if objective.term == _AB:
        numbers = pack(numbers["alpha"], numbers["beta"], numbers["temperature"])
    return Operands(numbers, weights, beside, objective.beside_weight)


def training_loss(objective: Objective) -> Callable[[Any, Any, Batch, Operands], torch.Tensor]:
    """Return (student, teacher, batch, operands) → hard_weight · CE + factor · distill_weight · L, and the part beside.

    The networks are callables from a batch's inputs to logits `[..., C]`; for methods that take heads, their `heads` gives
    hidden states `[..., D]` and the output weight `[C, D]`. The teacher is asked first, without gradients; it may be None
    where the method has no term. Labels are `[...]`; rows whose label is −100 count in neither term. The loss is float64
    for float64 students, else float32. A term that weighs nothing is not computed.

    Raises:
        ValueError: a batch has a part beside and the method has none, or the other way round.
    """
    main = _part(objective)
    beside = None if objective.beside is None else _part(objective.beside)

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> torch.Tensor:
        check_parts(objective, batch)
        total = main(student, teacher, batch[:2], operands)
        if beside is not None:
            total = total + operands.beside_weight * beside(student, teacher, batch[2], operands.beside)
        return total

    return loss


def _part(objective: Objective) -> Callable[[Any, Any, Batch, Operands], torch.Tensor]:
    """`training_loss` of a pair (inputs, targets)."""
    term = distillation_term(objective) if objective.term and objective.distill_weight else None
    needs_logits = objective.takes != "models" or objective.hard_weight != 0 or term is None

    def loss(student: Any, teacher: Any, batch: Batch, operands: Operands) -> torch.Tensor:
        (inputs, targets), (distill_weight, hard_weight) = batch, operands.weights
        teacher_outputs = student_outputs = mask = total = None
        if term is not None and objective.takes != "models":
            with torch.inference_mode():
                teacher_outputs = _outputs(teacher, inputs, objective.takes)
        if needs_logits:
            student_outputs = _outputs(student, inputs, objective.takes)
            logits = _logits(student_outputs)
            check_label_shape(logits.shape, labels_of(targets).shape)
            if objective.takes == "logits" and teacher_outputs:
                check_shapes(logits.shape, teacher_outputs[0].shape)
            mask = _selection(labels_of(targets))
        if hard_weight != 0:
            total = hard_weight * _cross_entropy(logits, labels_of(targets), mask)
        if term is not None and distill_weight != 0:
            networks = (student, teacher) if objective.takes == "models" else (*student_outputs, *teacher_outputs)
            distilled = distill_weight * term(networks, batch, mask, operands.numbers)
            total = distilled if total is None else total + distilled
        return logits.sum() * 0.0 if total is None else total

    return loss


def distillation_term(objective: Objective) -> Callable[[tuple, Batch, Any, Mapping[str, float]], torch.Tensor]:
    """Return (what the term takes, batch, mask, numbers) → L, the mean over the rows that the mask selects.

    The term is called with what it takes, the student's first: logits and logits; hidden states and output weight, twice;
    or model and model. `TermSignature` says what else it may ask for.
    """
    if objective.term == _AB:
        return _ab_term
    function = TERMS.get(objective.term) or DIVERGENCES.get(objective.term) or getattr(classification, objective.term)
    signature = TermSignature.of(function)

    def term(networks: tuple, batch: Batch, mask: torch.Tensor | None, numbers: Mapping[str, float]) -> torch.Tensor:
        if mask is None or signature.leaves_rows_out or objective.takes != "logits":
            return function(*networks, **signature.arguments(batch, mask), **numbers)
        # equal logits add exactly nothing to such an objective's mean over all rows
        networks = tuple(torch.where(mask[..., None], logits, 0.0) for logits in networks)
        value = function(*networks, **signature.arguments(batch, None), **numbers)
        return value * (mask.numel() / mask.sum().clamp(min=1).to(value.dtype))

    return term


def _ab_term(networks: tuple, batch: Batch, mask: torch.Tensor | None, numbers: tuple[float, ...]) -> torch.Tensor:
    weight = row_weights(networks[0], mask, None, "mean")
    return packed_ab_divergence(*networks, numbers, weight, "mean")


def _outputs(model: Any, inputs: Any, takes: str) -> tuple[torch.Tensor, ...]:
    """(logits,), or (hidden states, output weight) of a model asked for its heads."""
    return model.heads(inputs) if takes == "heads" else (model(inputs),)


def _logits(outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return outputs[0] if len(outputs) == 1 else outputs[0] @ outputs[1].mT


def _selection(labels: torch.Tensor) -> torch.Tensor | None:
    """Which rows count, None where all do, which is asked only where the answer needs no wait for an accelerator."""
    mask = labels != IGNORED_LABEL
    return None if labels.device.type == "cpu" and bool(mask.all()) else mask


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is not None:
        return cross_entropy(logits, labels)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return functional.cross_entropy(wide.reshape(-1, wide.shape[-1]), labels.reshape(-1).long())
