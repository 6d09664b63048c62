"""What the user asked for, and the check that all of it is known."""

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

import backends
from backends.common import methods, networks
from backends.common.training.loop import PRECISIONS
from reference import presets
from suites import datasets
from suites.cell import DTYPES, SCALES
from suites.distill.recipes import find
from suites.sweep.space import Sweep

SUITES = ("agreement", "loss", "distill")
# those that run where they are named only: they want a quiet machine, and measure the harness
SUITES_ON_REQUEST = ("throughput",)
# not a suite of its own: cells of the suite "distill", searched for the best setting
SWEEP = "sweep"
# what a sweep searches where the user names no method
SWEPT_METHODS = ("abkd",)


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
        settings: (name, values) of further parameters of methods, in place of the recipe's.
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
    settings: tuple[tuple[str, tuple[float, ...]], ...] = ()
    seeds: int | None = None
    first_seed: int = 0
    scale: str = "smoke"
    dtypes: tuple[str, ...] = ()
    teacher_weights: str | None = None
    precisions: tuple[str, ...] = ()
    repeats: int = 0
    sweep: Sweep | None = None

    @property
    def trainings(self) -> tuple[tuple[str, str], ...]:
        """(data set, pair) of all trainings: every combination, or each pair on the data set that it belongs to."""
        pairs = tuple(pair.lower().replace("_", "-") for pair in self.pairs)  # one spelling of a network in records
        if self.datasets:
            return tuple(product(self.datasets, pairs)) or tuple(
                (name, find.of_dataset(name, self.scale).default_pair[self.scale]) for name in self.datasets
            )
        if pairs:
            return tuple((find.dataset_of(pair, self.scale), pair) for pair in pairs)
        name = find.DEFAULT_DATASETS[self.scale]
        return ((name, find.of_dataset(name, self.scale).default_pair[self.scale]),)

    def methods_of(self, dataset: str) -> tuple[str, ...]:
        """The chosen methods, or those that are compared on the data set."""
        if self.sweep is not None and not self.methods:
            return SWEPT_METHODS
        return self.methods or find.of_dataset(dataset, self.scale).default_methods[self.scale]

    def seeds_of(self, dataset: str) -> int:
        """The chosen number of seeds, or the data set's."""
        return find.of_dataset(dataset, self.scale).default_seeds[self.scale] if self.seeds is None else self.seeds

    @property
    def given(self) -> dict[str, tuple[float, ...]]:
        """Values of methods' parameters that the user chose, but for alpha and beta."""
        values = {
            "temperature": self.temperatures,
            "distill_weight": self.distill_weights,
            "hard_weight": self.hard_weights,
            **dict(self.settings),
        }
        return {name: numbers for name, numbers in values.items() if numbers}

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The chosen (α, β): those of the presets, or every combination of alphas and betas, or the loss suite's own."""
        if self.presets:
            found = (presets.find(name) for name in self.presets)
            return tuple(dict.fromkeys((preset.alpha, preset.beta) for preset in found))
        return tuple(product(self.alphas or (find.DEFAULT_ALPHA,), self.betas or (find.DEFAULT_BETA,)))


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


def model_spec(name: str, dataset: str, scale: str) -> networks.ModelSpec:
    """Specification of a model for a data set; the name is a further name in its recipes or an architecture's own.

    Raises:
        ValueError: it is neither.
        suites.datasets.dataset.DatasetError: the data set, which decides the number of classes, is not there.
    """
    data = datasets.load(dataset, data_scale(scale))
    return _named_spec(name, data.input_shape, data.classes)


def _named_spec(name: str, input_shape: tuple[int, int, int], classes: int) -> networks.ModelSpec:
    further = find.model_names()
    try:
        return networks.get(further.get(name, name), input_shape=input_shape, classes=classes)
    except ValueError as error:
        raise ValueError(f"{error}; or one of {', '.join(further)}") from error


def data_scale(scale: str) -> str:
    """Scale of a cell's data: what backends are compared on step by step is small."""
    return "smoke" if scale == "trace" else scale


def split_pair(pair: str) -> tuple[str, str]:
    """ "teacher:student" → (teacher, student).

    Raises:
        ValueError: it does not read like that.
    """
    teacher, separator, student = pair.partition(":")
    if not (teacher and separator and student) or ":" in student:
        known = ", ".join(entry.default_pair[SCALES[0]] for entry in find.RECIPES.values())
        raise ValueError(f"pair {pair!r} is not known; write teacher:student, e.g. {known}")
    return teacher, student


def check(selection: Selection) -> None:
    """Check every name and number of a selection before anything runs.

    Raises:
        ValueError: naming the first one that is not known or not allowed, and what is.
    """
    for suite in selection.suites:
        check_choice("suite", suite, (*SUITES, *SUITES_ON_REQUEST, SWEEP))
    if SWEEP in selection.suites and len(selection.suites) > 1:
        others = " ".join(name for name in selection.suites if name != SWEEP)
        raise ValueError(f"suite {SWEEP!r} runs alone; run {others} with a command of its own")
    check_choice("backend", selection.backend, backends.BACKENDS)
    check_choice("scale", selection.scale, SCALES)
    for dtype in selection.dtypes:
        check_choice("dtype", dtype, DTYPES)
    for name in selection.datasets:
        # a data set takes part once it can be loaded and has recipes
        check_choice("dataset", name, tuple(find.RECIPES), tuple(datasets.TABLE))
    for method in selection.methods:
        check_choice("method", method, tuple(methods.METHODS))
    if selection.seeds is not None and selection.seeds < 1:
        raise ValueError(f"seeds {selection.seeds!r} is not allowed; it must be at least 1")
    if selection.first_seed < 0:
        raise ValueError(f"first seed {selection.first_seed!r} is not allowed; it must be at least 0")
    for pair in selection.pairs:
        for model in split_pair(pair):
            _named_spec(model, (32, 32, 3), 10)
    if "distill" in selection.suites or SWEEP in selection.suites:
        for dataset, pair in selection.trainings:
            for method in selection.methods_of(dataset):
                find.method_values(dataset, pair, method, selection.scale)
    for name in selection.presets:
        presets.find(name)
    if selection.presets and (selection.alphas or selection.betas):
        raise ValueError(
            f"preset {selection.presets[0]!r} brings its own alpha and beta; leave --alpha and --beta out, or --preset"
        )
    _check_variants(selection)
    _check_numbers(selection)


def _check_variants(selection: Selection) -> None:
    """Precisions and repeats are of trainings."""
    for precision in selection.precisions:
        check_choice("precision", precision, PRECISIONS)
    if selection.repeats < 0:
        raise ValueError(f"repeats {selection.repeats!r} is not allowed; it must be 0 or greater")
    given = {"precision": selection.precisions, "repeats": selection.repeats}
    for name, value in given.items():
        if value and set(selection.suites) <= {"agreement", "loss", "throughput"}:
            raise ValueError(
                f"{name} {value!r} fits none of the chosen suites ({', '.join(selection.suites)}), which train nothing; "
                "name a suite that does, such as distill"
            )


def _check_numbers(selection: Selection) -> None:
    """Each number must be allowed, and some chosen method must have it."""
    chosen = {
        "alpha": selection.alphas or tuple(alpha for alpha, _ in selection.points if selection.presets),
        "beta": selection.betas or tuple(beta for _, beta in selection.points if selection.presets),
        **selection.given,
    }
    if selection.sweep is not None:
        chosen |= {name: (bounds.low, bounds.high) for name, bounds in selection.sweep.ranges}
    given = {name: values for name, values in chosen.items() if values}
    used = tuple(dict.fromkeys(m for dataset, _ in selection.trainings for m in selection.methods_of(dataset)))
    for method in used:
        for name, values in given.items():
            for value in values:
                if name in methods.METHODS[method].parameters:
                    needed = {"alpha": 1.0, "beta": 0.0} if "alpha" in methods.METHODS[method].parameters else {}
                    methods.resolve(method, **(needed | {name: value}))
    for name, values in given.items():
        used_elsewhere = name in ("alpha", "beta", "temperature") and "loss" in selection.suites
        if values and not used_elsewhere and not any(name in methods.METHODS[m].parameters for m in used):
            having = [m for m, entry in methods.METHODS.items() if name in entry.parameters]
            if not having:
                known = sorted({parameter for m in used for parameter in methods.METHODS[m].parameters})
                raise ValueError(
                    f"--set {name}={values[0]:g}: no method has a parameter {name!r}; those of the chosen methods "
                    f"({', '.join(used)}) are {', '.join(known)}"
                )
            raise ValueError(
                f"{name} {values[0]!r} fits none of the chosen methods ({', '.join(used)}); "
                f"methods that have it: {', '.join(having)}"
            )
