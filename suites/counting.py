"""How many cells a selection has, counted before they are made: lists multiply fast."""

import math
from collections.abc import Iterable

from backends.common import methods
from suites.distill import defaults, numbers
from suites.selection import SWEEP, Selection
from suites.throughput import problems

# some hundred cells a second are planned; more than this is a slip of the fingers
MOST_CELLS = 100_000


def check_count(selection: Selection) -> None:
    """Refuse a plan that nobody can mean.

    Raises:
        ValueError: it has more than `MOST_CELLS` cells.
    """
    cells = sum(_COUNTS[suite](selection) for suite in selection.suites if suite in _COUNTS)
    if cells > MOST_CELLS:
        lists = {"seeds": selection.seeds, "repeats": selection.repeats, "alpha": len(selection.alphas)}
        lists |= {"beta": len(selection.betas)} | {name: len(values) for name, values in selection.parameters.items()}
        lists |= {"trials": selection.sweep.trials if selection.sweep is not None else None}
        named = ", ".join(f"{name} {count:,}" for name, count in lists.items() if count)
        raise ValueError(
            f"the plan has {cells:,} cells ({named}; lists multiply); at most {MOST_CELLS:,} are allowed: choose fewer, or "
            "split it into several commands"
        )


def _trainings(selection: Selection) -> int:
    """Students of distill or of a sweep; teachers and traces are few beside them."""
    drawn = selection.sweep.trials if selection.sweep is not None else None
    own = math.prod(len(values) for name, values in selection.parameters.items() if numbers.is_of_training(name))
    total = 0
    for dataset, _ in defaults.trainings(selection):
        names = defaults.methods_of(selection, dataset)
        settings = len(names) * drawn if drawn is not None else own * _settings(selection, names)
        total += settings * len(defaults.seeds_of(selection, dataset))
    variants = max(1, len(selection.precisions)) * (selection.repeats + 1)
    return total * max(1, len(selection.dtypes)) * variants


def _settings(selection: Selection, names: Iterable[str]) -> int:
    """Settings of methods: every combination of the values that they have."""
    total = 0
    for name in names:
        parameters = methods.get(name).parameters
        lists = [len(values) for parameter, values in selection.parameters.items() if parameter in parameters]
        total += math.prod(lists) * (_points(selection) if "alpha" in parameters else 1)
    return total


def _points(selection: Selection) -> int:
    return len(selection.presets) or max(1, len(selection.alphas)) * max(1, len(selection.betas))


def _losses(selection: Selection) -> int:
    return _points(selection) * max(1, len(selection.temperatures)) * max(1, len(selection.dtypes))


def _throughputs(selection: Selection) -> int:
    settings = _settings(selection, selection.methods or problems.METHODS)
    return max(1, len(selection.pairs)) * settings * max(1, len(selection.dtypes))


# those of agreement are always few
_COUNTS = {"distill": _trainings, SWEEP: _trainings, "loss": _losses, "throughput": _throughputs}
