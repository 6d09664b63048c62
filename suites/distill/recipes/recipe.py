"""What a recipe is: numbers of a training, each with its source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

DECLARED = "declared by this project"
PAPER = "CIFAR-100 recipe of the ABKD paper"
COMMAND_LINE = "command line"
# for resnet56 → resnet20: KD with weights 1 and 2, ABKD with α .8, β .3 and weight 32, both at temperature 4
ABKD_SCRIPT = "published code of ABKD, CIFAR-100 script"


@dataclass(frozen=True)
class Value:
    """A number of a recipe and where it comes from."""

    value: Any
    source: str = DECLARED


Values = dict[str, Value]


class Numbers(Mapping[str, Any]):
    """Numbers of a recipe by name, without their sources.

    Args:
        values: the numbers with their sources.
    """

    def __init__(self, values: Values) -> None:
        self.values_with_sources = values

    def __getitem__(self, name: str) -> Any:
        return self.values_with_sources[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_with_sources)

    def __len__(self) -> int:
        return len(self.values_with_sources)

    def sources(self) -> dict[str, str]:
        """Where each number comes from."""
        return {name: value.source for name, value in self.values_with_sources.items()}

    def with_chosen(self, chosen: Mapping[str, Any]) -> "Numbers":
        """The numbers with others in their place; those that differ come from the command line."""
        changed = {name: Value(value, COMMAND_LINE) for name, value in chosen.items() if self.get(name) != value}
        return Numbers(self.values_with_sources | changed)


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule and losses' weights of one training.

    Attributes:
        training: epochs, batch_size, learning_rate, warm_up_steps, schedule, momentum, weight_decay, and what the schedule and
            the task's batches have (milestones, decay, pad, flip).
        method: parameters of the method.
        steps: stop each epoch after so many steps; None goes through all batches.
    """

    training: Numbers
    method: Numbers = field(default_factory=lambda: Numbers({}))
    steps: int | None = None

    def with_chosen(self, method: Mapping[str, Any], training: Mapping[str, Any] | None = None) -> "Recipe":
        """The recipe with parameters of the method and numbers of the training as a cell has them.

        Those that differ were set by the user.
        """
        return replace(self, method=self.method.with_chosen(method), training=self.training.with_chosen(training or {}))

    def plain(self) -> dict[str, dict[str, Any]]:
        """The numbers alone, for keys."""
        limit = {"steps": self.steps} if self.steps else {}
        return {"training": {**self.training, **limit}, "method": dict(self.method)}

    def flat(self) -> dict[str, Any]:
        """The numbers alone, for people: records have had all of them in one list from the beginning."""
        plain = self.plain()
        return plain["training"] | plain["method"]

    def sources(self) -> dict[str, str]:
        """Where each number comes from."""
        return self.training.sources() | self.method.sources()


@dataclass(frozen=True)
class DatasetRecipes:
    """All recipes of a data set.

    Attributes:
        teachers, students: how networks are trained, by scale.
        methods: parameters of each method that is used on it.
        default_pair, default_methods, default_seeds: where the user names none, by scale.
        pairs: parameters of methods that differ for a pair, by (pair, method).
        scaled: those that differ at a scale, by (scale, method).
        models: further names of its networks.
        architectures: how names of networks begin whose pairs are trained on it where the user names no data set.
        teacher_method: what its teachers are trained by.
        trace: numbers of the short training that backends are compared on, where they differ from the usual ones.
        traces_every_method: whether each method has such a training, or one of them stands for all.
        epoch_seconds: how long an epoch of a teacher and of a student takes on two cores, by scale; a "trace" is one epoch.
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
    architectures: tuple[str, ...] = ()
    teacher_method: str = "sft"
    trace: Values = field(default_factory=dict)
    traces_every_method: bool = False
    epoch_seconds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def scales(self) -> tuple[str, ...]:
        """Scales that have recipes."""
        return tuple(self.students)
