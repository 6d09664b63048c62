"""Early stopping of settings that fall behind: successive halving by Optuna's pruner, decided in the plan's order.

At a rung (a number of epochs) a training waits until all that come before it in the plan have been there or have
ended. So which trainings are stopped is the same for every number of processes, and after a resumed sweep too.
"""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.managers import BaseManager
from typing import Any, Protocol

from suites.running import workers

# seconds between two questions of a training that waits for its verdict
_PAUSE = 0.05


@dataclass
class Rules:
    """What a judge goes by; plain data.

    Attributes:
        groups: trainings that compete with each other: their epochs and their names, in the plan's order.
        factor: of the trainings at a rung the best 1/factor go on.
        known: score by epoch of trainings that have ended.
    """

    groups: list[tuple[int, list[str]]]
    factor: int
    known: dict[str, list[float]] = field(default_factory=dict)


class Verdicts(Protocol):
    """A judge, here or in another process."""

    def ask(self, name: str, epochs: int, score: float, now: bool = False) -> bool | None:
        """Whether a training ends; None where that is still open."""

    def end(self, name: str) -> None:
        """A training ended, however it did."""


def rungs(epochs: int, factor: int) -> list[int]:
    """After how many epochs trainings are compared: 1/factor² and 1/factor of all, at least one."""
    first = max(1, epochs // factor**2)
    return [rung for rung in (first, first * factor) if rung <= epochs // factor]


class Judge:
    """Decides which trainings end early. Questions may come from several threads.

    Args:
        rules: who competes, and what is known already.
    """

    def __init__(self, rules: Rules) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._lock = threading.Lock()
        self._ended = set(rules.known)
        self._values: dict[tuple[str, int], float] = {}
        self._verdicts: dict[tuple[str, int], bool] = {}
        self._groups: dict[str, tuple[list[int], list[str]]] = {}
        self._trials: dict[str, Any] = {}
        for epochs, names in rules.groups:
            steps = rungs(epochs, rules.factor)
            pruner = optuna.pruners.SuccessiveHalvingPruner(
                min_resource=steps[0] if steps else 1, reduction_factor=rules.factor
            )
            study = optuna.create_study(direction="maximize", pruner=pruner)
            for name in names:
                self._groups[name], self._trials[name] = (steps, names), study.ask()
                for step in steps:
                    if len(rules.known.get(name, ())) >= step:
                        self._values[name, step] = rules.known[name][step - 1]

    def ask(self, name: str, epochs: int, score: float, now: bool = False) -> bool | None:
        """Whether a training ends after so many epochs.

        Args:
            name: of the training.
            epochs: how many it has done.
            score: the task's judging metric there, larger being better.
            now: decide without those that are still to come, who may never come.

        Returns:
            True or False; None where one that comes before it has not been there yet: ask again.
        """
        with self._lock:
            steps, names = self._groups[name]
            if epochs not in steps:
                return False
            self._values.setdefault((name, epochs), score)
            for other in names:
                if (other, epochs) in self._values:
                    self._decide(other, epochs)
                elif other not in self._ended:
                    break
            if now and (name, epochs) not in self._verdicts:
                self._decide(name, epochs)
            return self._verdicts.get((name, epochs))

    def end(self, name: str) -> None:
        """Nobody waits for this training any more."""
        with self._lock:
            self._ended.add(name)

    def _decide(self, name: str, epochs: int) -> None:
        if (name, epochs) not in self._verdicts:
            self._trials[name].report(self._values[name, epochs], epochs)
            self._verdicts[name, epochs] = self._trials[name].should_prune()


@dataclass(frozen=True)
class Wait:
    """What a training calls after each epoch (a `Stop`): asks until the verdict is there.

    Attributes:
        judge: whom it asks.
        name: of the training.
        patience: seconds after which it asks for a verdict without those that come before it; None waits for them.
    """

    judge: Verdicts
    name: str
    patience: float | None = None

    def __call__(self, epochs: int, score: float) -> bool:
        """Whether the training ends."""
        started = time.monotonic()
        while True:
            late = self.patience is not None and time.monotonic() - started > self.patience
            verdict = self.judge.ask(self.name, epochs, score, late)
            if verdict is not None:
                return verdict
            time.sleep(_PAUSE)


class _Manager(BaseManager):
    """Serves a judge to other processes from one of its own."""


_Manager.register("Judge", Judge, exposed=("ask", "end"))


@contextlib.contextmanager
def served(rules: Rules) -> Iterator[Verdicts]:
    """A judge that may travel to other processes of this machine."""
    manager = _Manager(ctx=multiprocessing.get_context("spawn"))
    manager.start(initializer=workers.follow_parent)
    try:
        yield manager.Judge(rules)
    finally:
        manager.shutdown()
