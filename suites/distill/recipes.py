"""How a network is trained on a data set: every number with its source.

A recipe is data. Values that come from nowhere else say "declared by this project". On the digits they were chosen, the
same for every method, so that the teacher is good and the student on labels alone falls short of it. The digits have no
third part to choose on: differences of a percentage point between distillation losses mean nothing there.
"""

from dataclasses import dataclass
from typing import Any

DECLARED = "declared by this project"
CIFAR_RECIPE = "CIFAR-100 recipe of the ABKD paper"
#: for resnet56 → resnet20: temperature 4, weight of the labels 1
ABKD_SCRIPT = "published code of ABKD, CIFAR-100 script"


@dataclass(frozen=True)
class Value:
    """A number of a recipe and where it comes from."""

    value: Any
    source: str = DECLARED


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule and losses' weights of one training.

    Attributes:
        values: by name: epochs, batch_size, learning_rate, warm_up_steps, schedule, momentum, weight_decay; for
            students temperature, distill_weight and hard_weight as well.
        steps: stop each epoch after so many steps; None goes through all batches.
    """

    values: dict[str, Value]
    steps: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def plain(self) -> dict[str, Any]:
        """The numbers alone, for keys and records."""
        return {name: entry.value for name, entry in self.values.items()} | (
            {"steps": self.steps} if self.steps else {}
        )

    def sources(self) -> dict[str, str]:
        """Where each number comes from."""
        return {name: entry.source for name, entry in self.values.items()}


#: names of models on a data set, so that a pair reads like what it is
MODELS = {"digits-teacher": "convnet-16-32-64", "digits-student": "convnet-4-8"}
DEFAULT_PAIRS = {"digits": "digits-teacher:digits-student"}
DEFAULT_METHODS = ("sft", "kd", "rkld", "abkd")
#: of the example that the harness leads with; its guide for images is α .8–1 and β .1–.2
DEFAULT_ALPHA, DEFAULT_BETA = 0.8, 0.2
DEFAULT_SEEDS = 10

_OPTIMISER = {
    "momentum": Value(0.9, CIFAR_RECIPE),
    "weight_decay": Value(5e-4, CIFAR_RECIPE),
    "schedule": Value("cosine"),
}

TEACHERS = {
    "digits": Recipe(
        {
            "epochs": Value(20),
            "batch_size": Value(64, CIFAR_RECIPE),
            "learning_rate": Value(0.1),
            "warm_up_steps": Value(28),
            **_OPTIMISER,
        }
    )
}
#: seed of the one teacher that all students of a data set learn from
TEACHER_SEED = 0

STUDENTS = {
    "digits": Recipe(
        {
            "epochs": Value(20),
            "batch_size": Value(64, CIFAR_RECIPE),
            "learning_rate": Value(0.2),
            "warm_up_steps": Value(28),
            **_OPTIMISER,
        }
    )
}

CIFAR_TABLE = "recipe of the method's paper for CIFAR-100"


def _values(source: str, **numbers: float) -> dict[str, Value]:
    return {name: Value(number, source) for name, number in numbers.items()}


_AS_DKD = _values(DECLARED + ", as dkd", temperature=4.0, distill_weight=1.0, hard_weight=1.0)
_AS_TTM = {**_values(CIFAR_TABLE + ", from 45 to 76 by pair", distill_weight=45.0), "hard_weight": Value(1.0)}
#: divergences without T² that no published recipe for images has: as much weight as kd's 2·T²
_AS_ABKD = _values(DECLARED + ", as abkd", temperature=4.0, distill_weight=32.0, hard_weight=1.0)

#: temperature and weights by method; a factor T² of the method comes on top of distill_weight
METHOD_VALUES = {
    "sft": {"hard_weight": Value(1.0)},
    "kd": _values(ABKD_SCRIPT, temperature=4.0, distill_weight=2.0, hard_weight=1.0),
    "rkld": _values(DECLARED + ", as kd", temperature=4.0, distill_weight=2.0, hard_weight=1.0),
    "abkd": {
        **_values(ABKD_SCRIPT, temperature=4.0, hard_weight=1.0),
        "distill_weight": Value(32.0, ABKD_SCRIPT + "; as much as kd's 2·T²"),
    },
    "dkd": {**_values(CIFAR_TABLE, temperature=4.0), "distill_weight": Value(1.0), "hard_weight": Value(1.0)},
    "lsd": _values(CIFAR_TABLE, temperature=2.0, distill_weight=9.0, hard_weight=0.1),
    "ttm": _AS_TTM,
    "wttm": _AS_TTM,
    "dist": {**_values(CIFAR_TABLE, temperature=4.0), "distill_weight": Value(1.0), "hard_weight": Value(1.0)},
    "abdkd": _AS_DKD,
    "ablsd": _values(DECLARED + ", as lsd", temperature=2.0, distill_weight=9.0, hard_weight=0.1),
    "abttm": {name: Value(entry.value, DECLARED + ", as ttm") for name, entry in _AS_TTM.items()},
    **dict.fromkeys(("jsd", "tvd", "wsd", "skew-kl", "skew-rkl", "akl", "bdkd", "alphanet"), _AS_ABKD),
}

#: the trainings that backends are compared on step by step: short, and gentle enough that rounding does not grow
TRACE_STEPS = 20
TRACE = {
    "epochs": Value(1),
    "batch_size": Value(32),
    "learning_rate": Value(0.01),
    "warm_up_steps": Value(0),
    **_OPTIMISER,
}
TRACE_TEACHER_SEED = 1000
TRACE_IMAGES = 16


def teacher_recipe(dataset: str) -> Recipe:
    """Recipe of a teacher on a data set; KeyError where the data set has none."""
    return TEACHERS[dataset]


def student_recipe(dataset: str, method: str, overrides: dict[str, float], *, trace: bool = False) -> Recipe:
    """Recipe of a student.

    Args:
        dataset: a name in `STUDENTS`.
        method: a name in `METHOD_VALUES`.
        overrides: temperature and weights that the user set.
        trace: the short training that backends are compared on.
    """
    values = TRACE if trace else STUDENTS[dataset].values
    values = values | METHOD_VALUES[method] | {name: Value(value, "command line") for name, value in overrides.items()}
    return Recipe(values, TRACE_STEPS if trace else None)
