"""What a task is: which networks solve it, what a batch is, and how a student is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Evaluation:
    """How good a network is on the test examples.

    Attributes:
        metrics: by their names in records.
        outputs: what the network says of each test example `[examples, …]`, in their order.
    """

    metrics: dict[str, float]
    outputs: np.ndarray


@dataclass(frozen=True)
class Task:
    """A kind of problem. A data set names its task; recipes, trainings and sweeps ask the task for the rest.

    Attributes:
        name: what a data set's row says.
        network: (a network's name, the data set's facts) → its specification; a ValueError names what is allowed.
        batches: by source, "fixed" for those made from the data alone: (numbers of the training's recipe, data, seed, float
            type, steps=at most so many an epoch or None, repeat=number of another order of each batch's rows) → batches.
        inputs: (data, count) → inputs of a network, float32, of the first test examples: traces are compared on them.
        evaluate: (harness, network, data, outputs=None, teacher_outputs=None, whole=False) → `Evaluation`: all of a record's
            test metrics where `whole`, else those that are followed after each epoch. `outputs` are the network's where
            they are known already, `teacher_outputs` those of its teacher.
        judged_by: the metric that decides which epoch and which setting is the best.
        examine: (harness, network, data) → further metrics of a student that was trained to its end.
    """

    name: str
    network: Callable[[str, Mapping[str, Any]], Any]
    batches: Mapping[str, Callable[..., Any]]
    inputs: Callable[[Any, int], np.ndarray]
    evaluate: Callable[..., Evaluation]
    judged_by: str
    examine: Callable[[Any, Any, Any], dict[str, float]] = lambda harness, network, data: {}

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """All that computes; keys cover the files that they are in, and what these import."""
        return self.network, *self.batches.values(), self.inputs, self.evaluate, self.examine
