"""Learning rates as functions of the global step, by name."""

import math
from collections.abc import Callable, Mapping
from typing import Any


def _cosine(progress: float) -> float:
    """Half a cosine from 1 down to 0. Source: Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5, without restarts."""
    return 0.5 * (1 + math.cos(math.pi * progress))


# shape of the rate over the share of the steps after the warm-up
SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": _cosine, "constant": lambda progress: 1.0}
# by epochs instead: times `decay` at the start of each epoch in `milestones`
STEPS = "steps"


def learning_rate(training: Mapping[str, Any], steps_per_epoch: int) -> Callable[[int], float]:
    """Learning rate of a recipe: a linear rise over its warm-up steps, then its schedule to the last step.

    Args:
        training: a recipe's numbers: learning_rate (the peak), warm_up_steps, schedule and epochs; for the schedule "steps"
            milestones (numbers of finished epochs) and decay.
        steps_per_epoch: batches in an epoch.

    Returns:
        A function of the global step, which counts from 0.

    Raises:
        ValueError: the schedule's name is not known.
    """
    name = training["schedule"]
    if name not in (*SCHEDULES, STEPS):
        raise ValueError(f"schedule={name!r} is not known; choose one of {', '.join((*SCHEDULES, STEPS))}")
    warm_up, peak = training["warm_up_steps"], training["learning_rate"]
    rest = max(1, training["epochs"] * steps_per_epoch - warm_up)

    def rate(step: int) -> float:
        if step < warm_up:
            return peak * (step + 1) / (warm_up + 1)
        if name == STEPS:
            return peak * training["decay"] ** sum(step // steps_per_epoch >= epoch for epoch in training["milestones"])
        return peak * SCHEDULES[name]((step - warm_up) / rest)

    return rate
