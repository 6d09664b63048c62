"""What is trained while the clock runs: networks, objective, images, and how often."""

from dataclasses import dataclass

import numpy as np

from backends.common import methods
from backends.common.networks import ModelSpec
from suites import datasets
from suites.cell import Cell
from suites.datasets.dataset import DatasetError
from suites.datasets.images import ImageDataset, Normalisation, Split
from suites.distill.networks import specification, split_pair
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Recipe

# methods that the plain loops have a loss for
METHODS = ("abkd", "kd")
DATASET, PAIR = "cifar100", "resnet56:resnet20"
# rounds, and steps of each loop in a round, by scale: short rounds, so that what disturbs the machine hits all loops alike
ROUNDS = {"smoke": (12, 2), "small": (40, 3), "paper": (100, 5)}
# a gentle rate: what is timed does not depend on it, but it must not diverge on random images
LEARNING_RATE = 0.01
STAND_IN_IMAGES = 5_000


@dataclass(frozen=True)
class Problem:
    """One comparison, as the worker process gets it.

    Attributes:
        backend: whose training.
        pair: "teacher:student", residual networks of plain width.
        method: a name in `METHODS`.
        parameters: the method's numbers: temperature, distill_weight, hard_weight; alpha and beta of "abkd".
        rounds, steps: how often all loops are timed, and steps of each in a round.
        device, threads: where, and with how many threads of the CPU.
    """

    backend: str
    pair: str
    method: str
    parameters: dict[str, float]
    rounds: int
    steps: int
    device: str
    threads: int

    @property
    def recipe(self) -> Recipe:
        """The data set's training recipe with the method's numbers."""
        return find.student_recipe(DATASET, "paper", PAIR, self.method).with_chosen(self.parameters)

    @property
    def networks(self) -> tuple[ModelSpec, ModelSpec]:
        """Teacher and student."""
        teacher, student = (specification(name, DATASET, "paper") for name in split_pair(self.pair))
        return teacher, student

    @property
    def objective(self) -> dict[str, float]:
        """The parameters that the method has, all of them."""
        numbers = self.recipe.method
        return {name: numbers[name] for name in methods.get(self.method).parameters if name in numbers}


def refusal(cell: Cell) -> tuple[str, str] | None:
    """(status, reason) where no plain loop is written for what a cell asks for."""
    if cell.method not in METHODS:
        return "unsupported", f"method {cell.method!r} has no plain loop to compare with; choose {' or '.join(METHODS)}"
    if cell.dtype != "float32":
        return "unsupported", f"throughput is measured in float32, not in {cell.dtype}"
    for name in split_pair(cell.pair):
        spec = specification(name, DATASET, "paper")
        if spec.family != "resnet":
            return "unsupported", f"the plain loops are written for resnets (resnet56, resnet32x4), not for {name!r}"
    return None


def data() -> ImageDataset:
    """CIFAR-100, or random images of its shape where it is not there, which the name of the source then says."""
    try:
        return datasets.load(DATASET, "paper")
    except DatasetError:
        shape, classes = datasets.get(DATASET).facts("paper").values()
        random = np.random.RandomState(0)
        images = random.randint(0, 256, (STAND_IN_IMAGES, *shape), np.uint8)
        split = Split(images, random.randint(0, classes, STAND_IN_IMAGES).astype(np.int64))
        names = tuple(str(number) for number in range(classes))
        normalisation = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        return ImageDataset(DATASET, "stand-in: random images of CIFAR-100's shape", split, split, names, normalisation, True)
