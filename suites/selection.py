"""What the user asked for, as plain data."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from reference import presets

SUITES = ("agreement", "loss", "distill")
# those that run where they are named only: they want a quiet machine, and measure the harness
SUITES_ON_REQUEST = ("throughput",)
# not a suite of its own: cells of the suite "distill", searched for the best setting
SWEEP = "sweep"
SAMPLERS = ("grid", "random")
# proposals are rounded to this share of their range's width: a record's parameter is a number that people can type
_FINEST = 1e-4


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def read(cls, text: str) -> "Range":
        """ "0:1" → Range(0, 1).

        Raises:
            ValueError: it does not read like that, or holds no number.
        """
        words = text.split(":")
        try:
            low, high = (float(word) for word in words)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a range; write low:high, such as 0:1") from error
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{text!r} is an empty range; write low:high with low < high, such as 0:1")
        if not 0 < (high - low) * _FINEST < math.inf:
            raise ValueError(f"{text!r} is a range whose width no float holds; write low:high, such as 0:1")
        return cls(low, high)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"

    def rounded(self, value: float) -> float:
        """The value to four digits of the range's width, within the range."""
        digits = -math.floor(math.log10((self.high - self.low) * _FINEST))
        return min(max(round(value, digits), self.low), self.high)


@dataclass(frozen=True)
class Sweep:
    """How settings are searched.

    Attributes:
        sampler: a name in `SAMPLERS`.
        trials: number of random proposals; None for a grid.
        sampler_seed: of the proposals.
        ranges: (parameter, range) of those that are drawn from a range.
        early_stop: settings that are not among the best 1/early_stop at a rung are stopped; None lets all finish.
    """

    sampler: str = "grid"
    trials: int | None = None
    sampler_seed: int = 0
    ranges: tuple[tuple[str, Range], ...] = ()
    early_stop: int | None = None


@dataclass(frozen=True)
class Selection:
    """A command in plain data. Lists multiply; None or an empty tuple leaves the choice to the suite.

    Attributes:
        suites: which suites, in the order in which they run.
        backend: a name in `backends.BACKENDS`.
        pairs: "teacher:student" each.
        datasets: names in `suites.distill.recipes.RECIPES`; none means those of the pairs, or the scale's usual one.
        methods: names in `backends.common.methods.METHODS`.
        alphas, betas, temperatures: values for the methods that have them.
        presets: names in `reference.presets.PRESETS`, in place of alphas and betas.
        distill_weights, hard_weights: weights of the loss' terms in place of the recipe's.
        settings: (name, values) of further parameters of methods, in place of the recipe's, and of numbers of the training
            (`suites.distill.numbers`), as they were typed.
        seeds: number of seeds; None for the recipe's.
        first_seed: the first of them.
        teacher_weights: a file of weights to take as the teacher's in place of training it.
        scale: a name in `suites.cell.SCALES`.
        dtypes: names in `suites.cell.DTYPES`.
        precisions: names in `backends.common.training.loop.PRECISIONS`.
        repeats: how often each student is trained again with the rows of each batch in another order.
        sweep: how settings are searched, where the command is a sweep.
    """

    suites: tuple[str, ...] = SUITES
    backend: str = "torch"
    pairs: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    presets: tuple[str, ...] = ()
    distill_weights: tuple[float, ...] = ()
    hard_weights: tuple[float, ...] = ()
    settings: tuple[tuple[str, tuple[float | str, ...]], ...] = ()
    seeds: int | None = None
    first_seed: int = 0
    scale: str = "smoke"
    dtypes: tuple[str, ...] = ()
    teacher_weights: str | None = None
    precisions: tuple[str, ...] = ()
    repeats: int = 0
    sweep: Sweep | None = None

    @property
    def parameters(self) -> dict[str, tuple[float | str, ...]]:
        """Values of methods' parameters and of trainings' numbers that the user chose, but for alpha and beta."""
        values = {
            "temperature": self.temperatures,
            "distill_weight": self.distill_weights,
            "hard_weight": self.hard_weights,
            **dict(self.settings),
        }
        return {name: numbers for name, numbers in values.items() if numbers}

    def points(self, alpha: float, beta: float) -> Iterator[tuple[float, float]]:
        """The chosen (α, β): those of the presets, or every combination of alphas and betas.

        Args:
            alpha, beta: where the user chose none.
        """
        if self.presets:
            chosen = (presets.find(name) for name in self.presets)
            return iter(dict.fromkeys((preset.alpha, preset.beta) for preset in chosen))
        return product(self.alphas or (alpha,), self.betas or (beta,))
