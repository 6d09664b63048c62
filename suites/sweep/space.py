"""What a sweep searches: lists of values, and ranges that random proposals are drawn from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        limits = text.split(":")
        try:
            low, high = (float(limit) for limit in limits)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a range; write low:high, such as 0:1") from error
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{text!r} is an empty range; write low:high with low < high, such as 0:1")
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


def propose(space: Mapping[str, Range | Sequence[float]], trials: int, seed: int) -> list[dict[str, float]]:
    """Random settings by Optuna: uniform in ranges, any of a list's values.

    The first n of them are the same for every number of trials.

    Args:
        space: parameters, by name.
        trials: how many settings.
        seed: the same seed gives the same settings.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        name: optuna.distributions.FloatDistribution(values.low, values.high)
        if isinstance(values, Range)
        else optuna.distributions.CategoricalDistribution(list(values))
        for name, values in sorted(space.items())
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    proposals = [study.ask(distributions).params for _ in range(trials)]
    return [
        {name: space[name].rounded(value) if isinstance(space[name], Range) else value for name, value in setting.items()}
        for setting in proposals
    ]
