"""What a recipe is: numbers of a training, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DECLARED = "declared by this project"
PAPER = "CIFAR-100 recipe of the ABKD paper"
# for resnet56 → resnet20: KD with weights 1 and 2, ABKD with α .8, β .3 and weight 32, both at temperature 4
ABKD_SCRIPT = "published code of ABKD, CIFAR-100 script"


@dataclass(frozen=True)
class Value:
    """A number of a recipe and where it comes from."""

    value: Any
    source: str = DECLARED


Values = dict[str, Value]


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule and losses' weights of one training.

    Attributes:
        values: by name: epochs, batch_size, learning_rate, warm_up_steps, schedule, momentum, weight_decay, and what the
            schedule and the augmentation have (milestones, decay, pad, flip); for students the method's parameters too.
        steps: stop each epoch after so many steps; None goes through all batches.
    """

    values: Values
    steps: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def get(self, name: str, default: Any = None) -> Any:
        """Value of a number that not every recipe has."""
        return self.values[name].value if name in self.values else default

    def plain(self) -> dict[str, Any]:
        """The numbers alone, for keys and records."""
        return {name: entry.value for name, entry in self.values.items()} | ({"steps": self.steps} if self.steps else {})

    def sources(self) -> dict[str, str]:
        """Where each number comes from."""
        return {name: entry.source for name, entry in self.values.items()}


@dataclass(frozen=True)
class DatasetRecipes:
    """All recipes of a data set.

    Attributes:
        teachers, students: how networks are trained, by scale.
        methods: parameters of each method that is used on it.
        pairs: those that differ for a pair, by (pair, method).
        scaled: those that differ at a scale, by (scale, method).
        default_pair, default_methods, default_seeds: where the user names none, by scale.
        models: further names of its networks.
        robustness: whether accuracy on corrupted images is measured.
    """

    teachers: Mapping[str, Values]
    students: Mapping[str, Values]
    methods: Mapping[str, Values]
    default_pair: Mapping[str, str]
    default_methods: Mapping[str, tuple[str, ...]]
    default_seeds: Mapping[str, int]
    pairs: Mapping[tuple[str, str], Values] = field(default_factory=dict)
    scaled: Mapping[tuple[str, str], Values] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    robustness: bool = False

    @property
    def scales(self) -> tuple[str, ...]:
        """Scales that have recipes."""
        return tuple(self.students)
