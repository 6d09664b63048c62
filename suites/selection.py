"""What the user asked for, and the check that all of it is known."""

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

import backends
from backends import architectures, methods
from reference import presets
from suites import datasets
from suites.cell import DTYPES, SCALES, SCALES_TO_COME
from suites.distill import recipes

SUITES = ("agreement", "loss", "distill")
SUITES_TO_COME = ("sweep",)


@dataclass(frozen=True)
class Selection:
    """A command in plain data. Lists multiply; None or an empty tuple leaves the choice to the suite.

    Attributes:
        suites: which suites, in the order in which they run.
        backend: a name in `backends.BACKENDS`.
        pairs: "teacher:student" each.
        datasets: names in `suites.datasets.DATASETS`.
        methods: names in `backends.methods.METHODS`.
        alphas, betas, temperatures: values for the methods that have them.
        presets: names in `reference.presets.PRESETS`, in place of alphas and betas.
        distill_weight, hard_weight: weights of the loss' terms in place of the recipe's.
        seeds: number of seeds, from 0 up.
        scale: a name in `suites.cell.SCALES`.
        dtypes: names in `suites.cell.DTYPES`.
    """

    suites: tuple[str, ...] = SUITES
    backend: str = "torch"
    pairs: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ("digits",)
    methods: tuple[str, ...] = recipes.DEFAULT_METHODS
    alphas: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    presets: tuple[str, ...] = ()
    distill_weight: float | None = None
    hard_weight: float | None = None
    seeds: int = recipes.DEFAULT_SEEDS
    scale: str = "smoke"
    dtypes: tuple[str, ...] = ()

    def pairs_of(self, dataset: str) -> tuple[str, ...]:
        """The chosen pairs, or the data set's usual one."""
        return self.pairs or (recipes.DEFAULT_PAIRS[dataset],)

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The chosen (α, β): those of the presets, or every combination of alphas and betas, or the recipes' one."""
        if self.presets:
            found = (presets.find(name) for name in self.presets)
            return tuple(dict.fromkeys((preset.alpha, preset.beta) for preset in found))
        return tuple(product(self.alphas or (recipes.DEFAULT_ALPHA,), self.betas or (recipes.DEFAULT_BETA,)))


def check_choice(argument: str, value: str, known: tuple[str, ...], to_come: tuple[str, ...] = ()) -> str:
    """Return `value` where it is known.

    Raises:
        ValueError: naming the argument, the value, the known ones, and the nearest one or that it is not built yet.
    """
    if value in known:
        return value
    if value in to_come:
        raise ValueError(f"{argument} {value!r} is not built yet; built so far: {', '.join(known)}")
    near = get_close_matches(value, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{argument} {value!r} is not known{hint}; choose from {', '.join(known)}")


def model_spec(name: str, dataset: str) -> architectures.ModelSpec:
    """Specification of a model for a data set; the name is an alias in `recipes.MODELS` or an architecture's own.

    Raises:
        ValueError: it is neither.
    """
    data = datasets.load(dataset)
    try:
        return architectures.get(recipes.MODELS.get(name, name), input_shape=data.input_shape, classes=data.classes)
    except ValueError as error:
        raise ValueError(f"{error}; or one of {', '.join(recipes.MODELS)}") from error


def split_pair(pair: str) -> tuple[str, str]:
    """ "teacher:student" → (teacher, student).

    Raises:
        ValueError: it does not read like that.
    """
    teacher, separator, student = pair.partition(":")
    if not (teacher and separator and student) or ":" in student:
        raise ValueError(f"pair {pair!r} is not known; write teacher:student, e.g. {recipes.DEFAULT_PAIRS['digits']}")
    return teacher, student


def check(selection: Selection) -> None:
    """Check every name and number of a selection before anything runs.

    Raises:
        ValueError: naming the first one that is not known or not allowed, and what is.
    """
    for suite in selection.suites:
        check_choice("suite", suite, SUITES, SUITES_TO_COME)
    check_choice("backend", selection.backend, backends.BACKENDS)
    check_choice("scale", selection.scale, SCALES, SCALES_TO_COME)
    for dtype in selection.dtypes:
        check_choice("dtype", dtype, DTYPES)
    for name in selection.datasets:
        # a data set takes part once it can be loaded and has recipes
        check_choice("dataset", name, tuple(recipes.DEFAULT_PAIRS), tuple(datasets.TABLE))
        if "distill" in selection.suites:
            for pair in selection.pairs_of(name):
                for model in split_pair(pair):
                    model_spec(model, name)
    for method in selection.methods:
        check_choice("method", method, tuple(methods.METHODS))
    if selection.seeds < 1:
        raise ValueError(f"seeds {selection.seeds!r} is not allowed; it must be at least 1")
    for name in selection.presets:
        presets.find(name)
    if selection.presets and (selection.alphas or selection.betas):
        raise ValueError(
            f"preset {selection.presets[0]!r} brings its own alpha and beta; leave --alpha and --beta out, or --preset"
        )
    _check_numbers(selection)


def _check_numbers(selection: Selection) -> None:
    """Each number must be allowed, and some chosen method must have it."""
    given = {
        "alpha": selection.alphas or tuple(alpha for alpha, _ in selection.points if selection.presets),
        "beta": selection.betas or tuple(beta for _, beta in selection.points if selection.presets),
        "temperature": selection.temperatures,
        "distill_weight": () if selection.distill_weight is None else (selection.distill_weight,),
        "hard_weight": () if selection.hard_weight is None else (selection.hard_weight,),
    }
    for method in selection.methods:
        for name, values in given.items():
            for value in values:
                if name in methods.METHODS[method].parameters:
                    needed = {"alpha": 1.0, "beta": 0.0} if "alpha" in methods.METHODS[method].parameters else {}
                    methods.resolve(method, **(needed | {name: value}))
    for name, values in given.items():
        used_elsewhere = name in ("alpha", "beta", "temperature") and "loss" in selection.suites
        if values and not used_elsewhere and not any(name in methods.METHODS[m].parameters for m in selection.methods):
            having = [m for m, entry in methods.METHODS.items() if name in entry.parameters]
            raise ValueError(
                f"{name} {values[0]!r} fits none of the chosen methods ({', '.join(selection.methods)}); "
                f"methods that have it: {', '.join(having)}"
            )
