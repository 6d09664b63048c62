"""A task that no other file knows: points of the plane, and which of three rings around the centre each lies in.

It has a data type, batches, a metric, a network and recipes of its own, and is added as a plugin: `register` at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from builders import for_jax, for_tensorflow, for_torch

from backends.common.networks import Family, ModelSpec, Parameter
from results.metrics import Metric
from suites.datasets.dataset import Dataset
from suites.distill.recipes.papers import METHODS
from suites.distill.recipes.recipe import DatasetRecipes, Value
from suites.streams import raw_stream
from suites.tasks.task import Evaluation, Task

RINGS = 3


@dataclass(frozen=True)
class Points:
    """The task's own data type: places `[points, 2]` and rings `[points]`."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    name: str = "rings"
    source: str = "drawn from seed 0"
    stand_in: bool = False
    digest: str = "rings of seed 0"

    def described(self):
        return {"train": len(self.train[0]), "test": len(self.test[0])}


def load(scale, seed):
    random = np.random.RandomState(0)
    places = random.uniform(-1, 1, (600, 2))
    rings = np.minimum(np.linalg.norm(places, axis=1) * RINGS, RINGS - 1).astype(np.int64)
    return Points((places[:400], rings[:400]), (places[400:], rings[400:]))


class PointBatches:
    """The same points in each epoch, in an order that depends on seed and epoch."""

    def __init__(self, numbers, data, seed, dtype="float32", *, steps=None, repeat=0):
        self.data, self.size, self.seed, self.dtype = data, numbers["batch_size"], seed, dtype
        full = len(data.train[0]) // self.size
        self.steps = full if steps is None else min(full, steps)

    def __len__(self):
        return self.steps

    def __iter__(self):
        return self.epoch(0)

    def epoch(self, epoch, start=0) -> Iterator:
        places, rings = self.data.train
        order = np.argsort(raw_stream("order", self.seed, epoch, len(places)), kind="stable")
        for step in range(start, self.steps):
            rows = order[step * self.size : (step + 1) * self.size]
            yield places[rows].astype(self.dtype), rings[rows]


def macro_f1(predicted, rings):
    """Mean over the rings of the harmonic mean of precision and recall."""
    scores = []
    for ring in range(RINGS):
        hits = np.sum((predicted == ring) & (rings == ring))
        scores.append(2 * hits / max(1, np.sum(predicted == ring) + np.sum(rings == ring)))
    return float(np.mean(scores))


def evaluate(harness, network, data, outputs=None, teacher_outputs=None, whole=False):
    places, rings = data.test
    outputs = harness.predict(network, places.astype(np.float32)) if outputs is None else outputs
    return Evaluation({"test/macro_f1": macro_f1(outputs.argmax(-1), rings)}, outputs)


@dataclass(frozen=True)
class PlaneSpec(ModelSpec):
    width: int


def read(name, facts):
    return PlaneSpec(name, "plane", int(name[6:])) if name.startswith("plane-") else None


def parameters(spec):
    for name, out, into in (("hidden", spec.width, 2), ("output", RINGS, spec.width)):
        yield f"{name}.weight", Parameter((out, into), "uniform", 1.0, layout="linear")
        yield f"{name}.bias", Parameter((out,), "uniform", 1.0)


def network(name, facts):
    spec = read(name, facts)
    if spec is None:
        raise ValueError(f"network={name!r} is not known; write plane and its width, e.g. plane-8")
    return spec


TRAINING = {
    "epochs": Value(20),
    "batch_size": Value(20),
    "learning_rate": Value(0.2),
    "warm_up_steps": Value(0),
    "schedule": Value("cosine"),
    "momentum": Value(0.9),
    "weight_decay": Value(0.0),
}
RECIPES = DatasetRecipes(
    teachers={"smoke": TRAINING},
    students={"smoke": TRAINING},
    methods=METHODS,
    default_pair={"smoke": "plane-32:plane-8"},
    default_methods={"smoke": ("sft", "abkd")},
    default_seeds={"smoke": 1},
)


def register(add):
    add.metric("test/macro_f1", Metric("macro F1", better="higher", format=".4f"))
    add.task(
        Task(
            name="points",
            network=network,
            batches={"fixed": PointBatches},
            inputs=lambda data, count: data.test[0][:count].astype(np.float32),
            evaluate=evaluate,
            judged_by="test/macro_f1",
        )
    )
    add.dataset(Dataset("rings", "Rings", task="points", get="nothing to do", load=load))
    add.recipes("rings", RECIPES)
    builders = {"torch": for_torch, "jax": for_jax, "tensorflow": for_tensorflow}
    add.model("plane", Family(read, parameters, "plane and its width"), builders)
