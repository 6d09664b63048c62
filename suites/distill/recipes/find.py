"""How networks are trained: the recipes of all data sets, and the short training that backends are compared on.

A recipe is data, in one file a data set. Values that come from nowhere else say "declared by this project".
"""

from collections.abc import Mapping
from typing import Any

from suites.distill.recipes import cifar100, digits
from suites.distill.recipes.recipe import PAPER, DatasetRecipes, Recipe, Value

# by data set; a data set takes part in distillation once it is here
RECIPES: dict[str, DatasetRecipes] = {"digits": digits.RECIPES, "cifar100": cifar100.RECIPES}
# the data set of a command that names neither one nor a pair, by scale
DEFAULT_DATASETS = {"smoke": "digits", "small": "cifar100", "paper": "cifar100"}
# point of the loss suite where the user names none: of the example that the harness leads with
DEFAULT_ALPHA, DEFAULT_BETA = 0.8, 0.2
# seed of the one teacher that all students of a pair and scale learn from
TEACHER_SEED = 0

# the trainings that backends are compared on step by step: short, and gentle enough that rounding does not grow
TRACE_STEPS = 20
TRACE = {
    "epochs": Value(1),
    "batch_size": Value(32),
    "learning_rate": Value(0.01),
    "warm_up_steps": Value(0),
    "momentum": Value(0.9, PAPER),
    "weight_decay": Value(5e-4, PAPER),
    "schedule": Value("cosine"),
}
# Deep networks that nobody has trained give large logits: from resnet56 a first loss of 73. At the rate above rounding
# of float64 then reaches a percent of the loss within 15 steps; at this one it stays below 1e-14, while the loss falls
# to half.
GENTLER = {"cifar100": {"learning_rate": Value(1e-4)}}
TRACE_TEACHER_SEED = 1000
TRACE_IMAGES = 16


def model_names() -> dict[str, str]:
    """Further names of networks, of all data sets."""
    return {name: architecture for entry in RECIPES.values() for name, architecture in entry.models.items()}


def dataset_of(pair: str, scale: str) -> str:
    """The data set that a pair is trained on where the user names none: the one whose pair or network it is."""
    for dataset, entry in RECIPES.items():
        if any(name in entry.models for name in pair.split(":")):
            return dataset
    return "digits" if pair.startswith("convnet") and scale == "smoke" else "cifar100"


def of_dataset(dataset: str, scale: str) -> DatasetRecipes:
    """Recipes of a data set, which has some at this scale.

    Raises:
        ValueError: it has none.
    """
    entry = RECIPES[dataset]
    if scale not in entry.scales:
        others = [name for name, other in RECIPES.items() if scale in other.scales]
        raise ValueError(
            f"scale {scale!r}: data set {dataset!r} has recipes for {', '.join(entry.scales)} only; "
            f"data sets with this scale: {', '.join(others)}"
        )
    return entry


def teacher_recipe(dataset: str, scale: str) -> Recipe:
    """Recipe of a teacher on a data set."""
    return Recipe(dict(of_dataset(dataset, scale).teachers[scale]))


def method_values(dataset: str, pair: str, method: str, scale: str) -> dict[str, Value]:
    """A method's parameters for a pair on a data set, at a scale or in a "trace".

    Raises:
        ValueError: the data set has no recipe for the method.
    """
    entry = RECIPES[dataset]
    if method not in entry.methods:
        raise ValueError(
            f"method {method!r} has no recipe on data set {dataset!r}; methods that have one: {', '.join(entry.methods)}"
        )
    return entry.methods[method] | entry.pairs.get((pair, method), {}) | entry.scaled.get((scale, method), {})


def student_recipe(dataset: str, scale: str, pair: str, method: str, overrides: Mapping[str, Any]) -> Recipe:
    """Recipe of a student.

    Args:
        dataset: a name in `RECIPES`.
        scale: one that the data set has, or "trace" for the short training that backends are compared on.
        pair: "teacher:student".
        method: one that the data set has a recipe for.
        overrides: parameters of the method that the user set.
    """
    values = TRACE | GENTLER.get(dataset, {}) if scale == "trace" else of_dataset(dataset, scale).students[scale]
    changed = {name: Value(value, "command line") for name, value in overrides.items()}
    values = dict(values) | method_values(dataset, pair, method, scale) | changed
    return Recipe(values, TRACE_STEPS if scale == "trace" else None)
