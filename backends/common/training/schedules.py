"""Learning rates that change from step to step or from epoch to epoch."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from ..arguments import check_number
from .optimizers import OPTIMIZERS

# what a schedule may ask for beside the step
_FURTHER = ("epoch", "steps_per_epoch")
Schedule = Callable[[int, int, int | None], float]


def as_schedule(function: Callable[..., float]) -> Schedule:
    """Return a user's schedule as a function of (step, epoch, steps_per_epoch).

    Args:
        function: of the step's number, counted from 0 over the whole training; an argument called `epoch` gets the
            epoch's number from 0, one called `steps_per_epoch` the number of batches in it, None where that is not known.
    """
    try:
        asked = [name for name in _FURTHER if name in signature(function).parameters]
    except ValueError:  # of a built-in function
        asked = []

    def rate(step: int, epoch: int, steps_per_epoch: int | None) -> float:
        further = {"epoch": epoch, "steps_per_epoch": steps_per_epoch}
        return function(step, **{name: further[name] for name in asked})

    return rate


def rate_schedule(learning_rate: float | Callable[..., float] | None, optimizer: Any) -> Schedule | None:
    """Return the learning rate as a schedule, or None where the user's optimizer has its own.

    Args:
        learning_rate: a number, or a schedule as `as_schedule` takes it.
        optimizer: None for SGD, one of `optimizers.OPTIMIZERS` (both need the learning rate), or a framework's own.

    Raises:
        ValueError: both or neither of `learning_rate` and `optimizer`, or a rate that is not a positive number.
    """
    described = isinstance(optimizer, OPTIMIZERS)
    if (learning_rate is None) == (optimizer is None or described):
        raise ValueError(
            f"learning_rate={learning_rate!r} and optimizer={optimizer!r}: give exactly one of them "
            "(learning_rate alone means SGD with the arguments momentum and weight_decay), or learning_rate and one of "
            f"{', '.join(kind.__name__ for kind in OPTIMIZERS)} of common.training.optimizers"
        )
    if learning_rate is None:
        return None
    if callable(learning_rate):
        return as_schedule(learning_rate)
    rate = check_number("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate={learning_rate!r} is not allowed; it must be greater than 0")
    return lambda step, epoch, steps_per_epoch: rate
