"""Train a student against a teacher: for models and data loaders of the user's own, and for the harness itself."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from backends.batches import batch_pair, check_batches, rate_schedule, split_compile_time
from backends.methods import Objective, resolve
from backends.torch.objectives import ABKDLoss, cross_entropy
from backends.torch.optimizers import sgd
from backends.training_result import TrainingResult


def train_student(
    teacher: nn.Module | None,
    student: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    learning_rate: float | Callable[[int], float] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nn.Module, float], None] | None = None,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs.

    Args:
        teacher: returns logits `[..., C]`; used in evaluation mode, without gradients. None for method "sft".
        student: the same outputs; trained in place.
        batches: (inputs, labels) pairs, gone through once an epoch; labels `[...]`, −100 leaves a row out. Arrays of
            NumPy are converted; everything is moved to the student's device.
        method: "abkd", "kd", "rkld" or "sft" (`backends.methods`; KD and RKLD carry the factor temperature²).
        alpha, beta: for "abkd".
        temperature, distill_weight, hard_weight: see `ABKDLoss`.
        learning_rate: for SGD with `momentum` and `weight_decay`; a number, or a function of the step.
        optimizer: instead of `learning_rate`, an optimizer over the student's parameters.
        epochs: passes over `batches`.
        progress: show a bar with the loss and the time left.
        on_epoch: called after each epoch with (epoch, student, mean loss).

    Returns:
        The trained student, in evaluation mode, with losses and times.

    Raises:
        ValueError: unknown method, bad parameters, both or neither of learning_rate and optimizer, batches that cannot
            be gone through `epochs` times or are empty.

    Source: Eq. 7 of Wang et al., "ABKD", ICML 2025.
    """
    objective = resolve(method, alpha=alpha, beta=beta, temperature=temperature, distill_weight=distill_weight,
                        hard_weight=hard_weight)  # fmt: skip
    check_batches(batches, epochs)
    rate = rate_schedule(learning_rate, optimizer)
    if objective.needs_teacher and teacher is None:
        raise ValueError(f"teacher=None, but method {method!r} needs one; method 'sft' does without")
    optimizer = optimizer or sgd(student.parameters(), momentum=momentum, weight_decay=weight_decay)
    step = _training_step(teacher, student, optimizer, objective)
    result = TrainingResult(student)
    first_seconds, losses, start_of_run = 0.0, [], 0
    total = epochs * len(batches) if hasattr(batches, "__len__") else None
    with tqdm(total=total, desc=method, unit="step", disable=not progress, leave=False) as bar:
        for epoch in range(epochs):
            student.train()
            epoch_start = time.perf_counter()
            pending: list[torch.Tensor] = []
            for batch in batches:
                if rate is not None:
                    for group in optimizer.param_groups:
                        group["lr"] = rate(start_of_run + len(pending))
                pending.append(step(*batch_pair(batch)))
                if epoch == 0 and len(pending) == 1:
                    pending[0].item()
                    first_seconds = time.perf_counter() - epoch_start
                bar.update()
            if not pending:
                raise ValueError("batches is empty; at least one (inputs, labels) pair is needed")
            losses += torch.stack(pending).double().tolist()  # waits for the device, once an epoch
            seconds = time.perf_counter() - epoch_start - (first_seconds if epoch == 0 else 0.0)
            counted = len(pending) - (epoch == 0)
            result.step_seconds += [seconds / counted] * counted if counted else []
            start_of_run += len(pending)
            mean = math.fsum(losses[-len(pending) :]) / len(pending)
            result.epoch_losses.append(mean)
            student.eval()
            bar.set_postfix(epoch=epoch + 1, loss=f"{mean:.4g}")
            if not math.isfinite(mean):
                result.status = "diverged"
                break
            if on_epoch is not None:
                on_epoch(epoch, student, mean)
    result.step_losses = np.asarray(losses)
    result.compile_seconds = split_compile_time(first_seconds, result.step_seconds)
    return result


def _training_step(
    teacher: nn.Module | None, student: nn.Module, optimizer: torch.optim.Optimizer, objective: Objective
) -> Callable[[Any, Any], torch.Tensor]:
    """One update of the student; returns the loss before it, left on the device."""
    device = next(student.parameters()).device
    if teacher is not None and objective.needs_teacher:
        teacher.eval()
    loss_function = ABKDLoss(
        objective.alpha, objective.beta, temperature=objective.temperature,
        distill_weight=objective.distill_weight, hard_weight=objective.hard_weight,
    )  # fmt: skip

    def step(inputs: Any, labels: Any) -> torch.Tensor:
        inputs, labels = _to_device(inputs, device), _to_device(labels, device)
        optimizer.zero_grad(set_to_none=True)
        student_logits = student(inputs)
        if objective.needs_teacher:
            with torch.no_grad():
                teacher_logits = teacher(inputs)
            loss = loss_function(student_logits, teacher_logits, labels)
        else:
            valid = labels != loss_function.ignore_index
            loss = objective.hard_weight * cross_entropy(student_logits, labels, valid)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _to_device(value: Any, device: torch.device) -> Any:
    """Tensors and NumPy arrays, also inside tuples, lists and dicts, on the device."""
    if isinstance(value, dict):
        return {name: _to_device(item, device) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_to_device(item, device) for item in value)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


@torch.no_grad()
def predict(model: nn.Module, inputs: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Logits `[rows, classes]` of a model in evaluation mode, batch by batch; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    parts = [model(inputs[i : i + batch_size].to(device)) for i in range(0, len(inputs), batch_size)]
    model.train(training)
    return torch.cat(parts)
