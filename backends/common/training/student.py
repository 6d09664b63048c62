"""What `train_student` of the three backends shares: what its arguments mean, and how they become a plan of a training."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from ..methods import resolve
from . import loop
from .optimizers import SGD
from .result import TrainingResult
from .schedules import rate_schedule

_Function = TypeVar("_Function", bound=Callable[..., TrainingResult])

# after a backend's own arguments
_COMMON = """
method: a name in `common.methods.METHODS`, such as "abkd", "kd", "dkd" or "sft"; whether it has a factor temperature² is
    said there.
alpha, beta, temperature, distill_weight, hard_weight, beside_weight: the method's parameters (`common.methods.resolve`);
    None takes the method's own. "abkd" needs alpha and beta.
learning_rate: of SGD with PyTorch's meaning: a number, or a function of the step's number, called on the host, which may
    also have arguments called epoch and steps_per_epoch.
momentum, weight_decay: of that SGD; not used with `optimizer`.
epochs: number of passes over `batches`.
progress: whether a bar shows steps, the last loss and the time left.
on_epoch: called after each epoch with its number from 0, the student (up to date, in evaluation mode) and the epoch's mean
    loss; a mapping of plain data that it returns is kept in the result's `epoch_metrics` and in checkpoints.
ask: how live batches ask the student: a function of (student, teacher, …), of which they get the rest;
    `predict(student, inputs)` where None.
checkpoint: file to keep the training's state in, and to go on from where it exists: then the result is bit for bit that of
    an uninterrupted run, given the same threads and device (`common.training.checkpoints`), and batches that are the same
    for the same epoch: a list, or an object with a method `epoch(epoch, start)`.
checkpoint_every: epochs between two checkpoints.
checkpoint_steps: steps between two further ones within an epoch; batches must then know their epochs.
fingerprint: digest of what only the caller knows to decide the result (data, seed), checked on resuming.
**parameters: further ones of the method, e.g. gamma of "ttm", non_target_weight and warm_up_epochs of "dkd".

Returns:
    The trained student, in evaluation mode, with losses and times; status "diverged" where a loss was not finite, at which
    training stopped.

Raises:
    ValueError: unknown method, bad parameters, both or neither of learning_rate and optimizer, batches that cannot be gone
        through `epochs` times or are empty, a checkpoint that does not belong here.

Source: Eq. 7 of Wang et al., "ABKD", ICML 2025, and the methods' own.
"""


def with_common_arguments(train_student: _Function) -> _Function:
    """Append to a docstring, whose last section is "Args:", what is said alike of every backend's `train_student`."""
    arguments, section, rest = _COMMON.strip().partition("\n\nReturns:")
    indented = "".join(f"    {line}\n" for line in arguments.splitlines())
    train_student.__doc__ = f"{inspect.cleandoc(train_student.__doc__ or '')}\n{indented}{section}{rest}"
    return train_student


def start_training(make_run: Callable[..., loop.Run], ask: Callable[..., Any], arguments: Mapping[str, Any]) -> TrainingResult:
    """Train as `train_student` was asked to.

    Args:
        make_run: (teacher, student, objective, optimizer, precision) → the backend's `Run`.
        ask: how live batches ask the student where the caller did not say it.
        arguments: all arguments of `train_student` by name, `parameters` in a mapping of their own.
    """
    numbers = {name: arguments[name] for name in inspect.signature(resolve).parameters if name in arguments}
    objective = resolve(**numbers, **arguments["parameters"])
    student, teacher = arguments["student"], loop.check_teacher(objective, arguments["teacher"])
    optimizer = arguments["optimizer"]
    made_here = {
        "objective": objective,
        "rate": rate_schedule(arguments["learning_rate"], optimizer),
        "ask": partial(arguments["ask"] or ask, student, teacher),
    }
    plan = loop.Plan(**{field.name: {**arguments, **made_here}[field.name] for field in fields(loop.Plan)})
    if optimizer is None:
        optimizer = SGD(arguments["momentum"], arguments["weight_decay"])
    precision = loop.check_precision(arguments["precision"])
    return loop.train(make_run(teacher, student, objective, optimizer, precision), student, plan)
