"""`--list`: what can be named on the command line, plugins' rows included."""

from collections.abc import Callable

from backends.common import methods, networks
from reference import presets
from results.metrics import METRICS
from suites import datasets
from suites.columns import columns
from suites.datasets.places import data_folder
from suites.distill.recipes import find

Rows = list[tuple[str, ...]]


def _methods() -> Rows:
    rows = [(row.name, row.title, ", ".join(row.parameters), row.source) for row in methods.METHODS.values()]
    return [("--method", "title", "parameters", "source"), *rows]


def _presets() -> Rows:
    rows = [(row.name, f"{row.alpha:g}", f"{row.beta:g}", row.source) for row in presets.PRESETS.values()]
    return [("--preset", "alpha", "beta", "source"), *rows]


def _datasets() -> Rows:
    rows: Rows = [("--dataset", "title", "task", "scales of its recipes", "state")]
    for row in datasets.TABLE.values():
        scales = find.RECIPES[row.name].scales if row.name in find.RECIPES else ()
        state = row.presence(data_folder()).state if row.load else "not built yet"
        rows.append((row.name, row.title, row.task, ", ".join(scales) or "none", state))
    return rows


def _models() -> Rows:
    families = [(family.spelling, name) for name, family in networks.FAMILIES.items()]
    further = [(name, f"another name of {architecture}") for name, architecture in find.model_names().items()]
    return [("in --pair TEACHER:STUDENT", "family"), *families, *further]


def _metrics() -> Rows:
    rows = [(name, row.title, row.unit or "—", row.better or "—") for name, row in METRICS.items()]
    return [("metric", "title", "unit", "better"), *rows]


LISTS: dict[str, Callable[[], Rows]] = {
    "methods": _methods,
    "presets": _presets,
    "datasets": _datasets,
    "models": _models,
    "metrics": _metrics,
}


def listing(what: str) -> str:
    """The table of `what`, a name in `LISTS`."""
    return "\n".join(columns(LISTS[what]()))
