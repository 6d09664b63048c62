"""How networks are trained: the recipes of all data sets, and the short training that backends are compared on.

A recipe is data, in one file a data set. Values that come from nowhere else say "declared by this project".
"""

from suites.distill.recipes import cifar100, digits
from suites.distill.recipes.recipe import PAPER, DatasetRecipes, Numbers, Recipe, Value, Values

# by data set; a data set takes part in distillation once it is here
RECIPES: dict[str, DatasetRecipes] = {"digits": digits.RECIPES, "cifar100": cifar100.RECIPES}
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
TRACE_TEACHER_SEED = 1000
TRACE_EXAMPLES = 16


def model_names() -> dict[str, str]:
    """Further names of networks, of all data sets."""
    return {name: architecture for recipes in RECIPES.values() for name, architecture in recipes.models.items()}


def default_dataset(scale: str) -> str:
    """The data set of a command that names neither one nor a pair: the first that has the scale."""
    return next(name for name, recipes in RECIPES.items() if scale in recipes.scales)


def dataset_of(pair: str, scale: str) -> str:
    """The data set that a pair is trained on where the user names none: the one whose networks have such names."""
    for dataset, recipes in RECIPES.items():
        if any(name in recipes.models for name in pair.split(":")):
            return dataset
    for dataset, recipes in RECIPES.items():
        if scale in recipes.scales and pair.startswith(recipes.architectures):
            return dataset
    return default_dataset(scale)


def of_dataset(dataset: str, scale: str) -> DatasetRecipes:
    """Recipes of a data set, which has some at this scale.

    Raises:
        ValueError: it has none.
    """
    recipes = RECIPES[dataset]
    if scale not in recipes.scales:
        others = [name for name, other in RECIPES.items() if scale in other.scales]
        raise ValueError(
            f"scale {scale!r}: data set {dataset!r} has recipes for {', '.join(recipes.scales)} only; "
            f"data sets with this scale: {', '.join(others)}"
        )
    return recipes


def teacher_recipe(dataset: str, scale: str) -> Recipe:
    """Recipe of a teacher on a data set."""
    recipes = of_dataset(dataset, scale)
    return Recipe(Numbers(dict(recipes.teachers[scale])), Numbers(dict(recipes.methods.get(recipes.teacher_method, {}))))


def method_values(dataset: str, pair: str, method: str, scale: str) -> Values:
    """A method's parameters for a pair on a data set, at a scale or in a "trace".

    Raises:
        ValueError: the data set has no recipe for the method.
    """
    recipes = RECIPES[dataset]
    if method not in recipes.methods:
        raise ValueError(
            f"method {method!r} has no recipe on data set {dataset!r}; methods that have one: {', '.join(recipes.methods)}"
        )
    return recipes.methods[method] | recipes.pairs.get((pair, method), {}) | recipes.scaled.get((scale, method), {})


def student_recipe(dataset: str, scale: str, pair: str, method: str) -> Recipe:
    """Recipe of a student.

    Args:
        dataset: a name in `RECIPES`.
        scale: one that the data set has, or "trace" for the short training that backends are compared on.
        pair: "teacher:student".
        method: one that the data set has a recipe for.
    """
    numbers = Numbers(method_values(dataset, pair, method, scale))
    if scale == "trace":
        return Recipe(Numbers(TRACE | RECIPES[dataset].trace), numbers, TRACE_STEPS)
    return Recipe(Numbers(dict(of_dataset(dataset, scale).students[scale])), numbers)
