"""The training loss of a method (`backends.common.methods`) as a function of both networks' logits and the labels."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ...common.arguments import IGNORED_LABEL, check_label_shape
from ...common.methods import Objective
from .. import divergences, objectives
from ..objectives import cross_entropy

Logits = torch.Tensor


def training_loss(objective: Objective) -> Callable[[Logits, Logits | None, torch.Tensor, float], torch.Tensor]:
    """Return (student_logits, teacher_logits, labels, factor) → hard_weight · CE + factor · distill_weight · L.

    Logits are `[..., C]`, labels `[...]`; rows whose label is −100 count in neither term. The loss is float64 for
    float64 students, else float32. A term that weighs nothing is not computed.
    """
    term = distillation_term(objective) if objective.needs_teacher and objective.distill_weight else None

    def loss(student: Logits, teacher: Logits | None, labels: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        check_label_shape(student.shape, labels.shape)
        mask = _selection(labels)
        total = None
        if objective.hard_weight != 0:
            total = objective.hard_weight * _cross_entropy(student, labels, mask)
        if term is not None and factor != 0:
            distilled = factor * objective.distill_weight * term(student, teacher, labels, mask)
            total = distilled if total is None else total + distilled
        return student.sum() * 0.0 if total is None else total

    return loss


def distillation_term(objective: Objective) -> Callable[[Logits, Logits, torch.Tensor, Any], torch.Tensor]:
    """Return (student_logits, teacher_logits, labels, mask) → L, the mean over the rows that the mask selects."""
    function = getattr(objectives if objective.function in objectives.__all__ else divergences, objective.function)
    accepted, parameters = inspect.signature(function).parameters, dict(objective.parameters)
    if "labels" in accepted:
        return lambda student, teacher, labels, mask: function(student, teacher, labels, **parameters)
    if "mask" in accepted or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return lambda student, teacher, labels, mask: function(student, teacher, mask=mask, **parameters)

    def without_mask(student: Logits, teacher: Logits, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is None:
            return function(student, teacher, **parameters)
        # equal logits add exactly nothing to such an objective's mean over all rows
        student, teacher = (torch.where(mask[..., None], logits, 0.0) for logits in (student, teacher))
        value = function(student, teacher, **parameters)
        return value * (mask.numel() / mask.sum().clamp(min=1).to(value.dtype))

    return without_mask


def _selection(labels: torch.Tensor) -> torch.Tensor | None:
    """Which rows count, None where all do, which is asked only where the answer needs no wait for an accelerator."""
    mask = labels != IGNORED_LABEL
    return None if labels.device.type == "cpu" and bool(mask.all()) else mask


def _cross_entropy(logits: Logits, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is not None:
        return cross_entropy(logits, labels)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return functional.cross_entropy(wide.reshape(-1, wide.shape[-1]), labels.reshape(-1).long())
