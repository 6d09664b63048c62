"""Checks of a selection: whether everything in it is known, before anything runs."""

from difflib import get_close_matches

import backends
from backends.common import methods
from backends.common.training.loop import PRECISIONS
from reference import presets
from suites import datasets
from suites.cell import DTYPES, SCALES
from suites.distill import defaults, networks, numbers
from suites.distill.recipes import find
from suites.selection import SUITES, SUITES_ON_REQUEST, SWEEP, Selection


def check_choice(argument: str, value: str, known: tuple[str, ...], to_come: tuple[str, ...] = ()) -> str:
    """Return `value` where it is known.

    Raises:
        ValueError: naming the argument, the value, the known ones, and the nearest one or that it is not built yet.
    """
    if value in known:
        return value
    if value in to_come:
        raise ValueError(f"{argument} {value!r} is not built yet; built so far: {', '.join(known)}")
    near = get_close_matches(value.lower(), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{argument} {value!r} is not known{hint}; choose from {', '.join(known)}")


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
        networks.split_pair(pair)
    trainings = defaults.trainings(selection)
    for dataset, pair in trainings:
        for name in networks.split_pair(pair):
            networks.specification(name, dataset, selection.scale)
    if "distill" in selection.suites or SWEEP in selection.suites:
        for dataset, pair in trainings:
            for method in defaults.methods_of(selection, dataset):
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
    for name, value in (("precision", selection.precisions), ("repeats", selection.repeats)):
        if value and set(selection.suites) <= {"agreement", "loss", "throughput"}:
            raise ValueError(
                f"{name} {value!r} fits none of the chosen suites ({', '.join(selection.suites)}), which train nothing; "
                "name a suite that does, such as distill"
            )


def _check_numbers(selection: Selection) -> None:
    """Each number must be allowed, and some chosen method must have it."""
    points = tuple(selection.points(0.0, 0.0)) if selection.presets else ()
    chosen = {
        "alpha": selection.alphas or tuple(alpha for alpha, _ in points),
        "beta": selection.betas or tuple(beta for _, beta in points),
        **selection.parameters,
    }
    if selection.sweep is not None:
        chosen |= {name: (bounds.low, bounds.high) for name, bounds in selection.sweep.ranges}
    numbers.check(selection, {name: values for name, values in chosen.items() if numbers.is_of_training(name)})
    chosen = {name: values for name, values in chosen.items() if values and not numbers.is_of_training(name)}
    used = tuple(
        dict.fromkeys(
            method for dataset, _ in defaults.trainings(selection) for method in defaults.methods_of(selection, dataset)
        )
    )
    for method in used:
        for name, values in chosen.items():
            for value in values:
                if name in methods.METHODS[method].parameters:
                    needed = {"alpha": 1.0, "beta": 0.0} if "alpha" in methods.METHODS[method].parameters else {}
                    try:
                        methods.resolve(method, **(needed | {name: value}))
                    except OverflowError as error:
                        raise ValueError(f"{name} {value!r} is not allowed: no float holds what is computed of it") from error
    for name, values in chosen.items():
        used_elsewhere = name in ("alpha", "beta", "temperature") and "loss" in selection.suites
        if values and not used_elsewhere and not any(name in methods.METHODS[m].parameters for m in used):
            having = [method for method, row in methods.METHODS.items() if name in row.parameters]
            raise ValueError(
                f"{name} {values[0]!r} fits none of the chosen methods ({', '.join(used)}); "
                f"methods that have it: {', '.join(having)}"
            )
