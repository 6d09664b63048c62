"""What a distillation takes where the user left the choice open: data sets, pairs, methods, seeds and their numbers."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from backends.common import methods
from suites.cell import options
from suites.distill.recipes import find
from suites.selection import Selection

# what a sweep searches where the user names no method
SWEPT_METHODS = ("abkd",)


def trainings(selection: Selection) -> tuple[tuple[str, str], ...]:
    """(data set, pair) of all trainings: every combination, or each pair on the data set that it belongs to."""
    scale = selection.scale
    pairs = tuple(pair.lower().replace("_", "-") for pair in selection.pairs)  # one spelling of a network in records
    if pairs and not selection.datasets:
        return tuple((find.dataset_of(pair, scale), pair) for pair in pairs)
    names = selection.datasets or (find.default_dataset(scale),)
    return tuple(product(names, pairs)) or tuple((name, find.of_dataset(name, scale).default_pair[scale]) for name in names)


def methods_of(selection: Selection, dataset: str) -> tuple[str, ...]:
    """The chosen methods, or those that are compared on the data set."""
    if selection.sweep is not None and not selection.methods:
        return SWEPT_METHODS
    return selection.methods or find.of_dataset(dataset, selection.scale).default_methods[selection.scale]


def seeds_of(selection: Selection, dataset: str) -> range:
    """The chosen seeds, or as many as the data set's recipes say."""
    count = selection.seeds
    if count is None:
        count = find.of_dataset(dataset, selection.scale).default_seeds[selection.scale]
    return range(selection.first_seed, selection.first_seed + count)


def method_options(
    selection: Selection, dataset: str, pair: str, method: str, scale: str | None = None, teacher_weights: str | None = None
) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Options of a method's cells: every combination of the values that the user chose, or the recipe's.

    Args:
        selection: what the user chose.
        dataset, pair, method: of the cells.
        scale: "trace" for a trace; the selection's without one.
        teacher_weights: how cells name the given weights (`suites.distill.given`).
    """
    parameters = methods.get(method).parameters
    recipe = find.method_values(dataset, pair, method, scale or selection.scale)
    usual = {name: recipe[name].value for name in parameters if name in recipe}
    points: Iterator[dict[str, float]] = iter([{}])
    if "alpha" in parameters:
        # α and β are chosen together: presets are points, not a product of two lists
        points = ({"alpha": alpha, "beta": beta} for alpha, beta in selection.points(usual.pop("alpha"), usual.pop("beta")))
    values = {name: (value,) for name, value in usual.items()}
    values |= {name: numbers for name, numbers in selection.parameters.items() if name in parameters}
    for point in points:
        for numbers in product(*values.values()):
            yield options(**point, **dict(zip(values, numbers, strict=True)), teacher_weights=teacher_weights)
