"""Agreement of a backend's divergences with the reference: values and gradients, by type, parameters and spread."""

import time
from importlib import import_module
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np

from reference import error_map
from reference.catalogue import DIVERGENCES
from reference.golden import compute
from suites import keys
from suites.agreement import comparison, samples
from suites.cell import DTYPES, Cell, options
from suites.selection import Selection
from suites.suite import Context, Outcome, Report, Stop, Suite


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """One cell for each divergence of the catalogue and each type of logits."""
    return [
        Cell(
            "agreement",
            backend=context.backend,
            options=options(divergence=name),
            scale=selection.scale,
            dtype=dtype,
            device=context.device,
        )
        for name, dtype in product(DIVERGENCES, selection.dtypes or DTYPES)
    ]


def _recipe(cell: Cell, context: Context) -> dict[str, Any]:
    return {"random_rows": samples.RANDOM_ROWS}


def _sources(cell: Cell) -> tuple[Path, ...]:
    return keys.source_files(
        "backends/common/*.py",
        f"backends/{cell.backend}/losses/*.py",
        f"backends/{cell.backend}/harness/*.py",
        "reference/*.py",
        "reference/exact/*.py",
        "reference/golden/**/*.*",
        "suites/agreement/*.py",
    )


def _refusal(cell: Cell, context: Context) -> tuple[str, str] | None:
    name = cell.option("divergence")
    if not hasattr(import_module(f"backends.{cell.backend}.divergences"), name):
        return "unsupported", f"backend {cell.backend} has no divergence {name!r}"
    return None


def _run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Compare golden cases and random rows; failed where an error is over its bound."""
    divergence = DIVERGENCES[cell.option("divergence")]
    total = len(compute.load(divergence.name, dtype=cell.dtype)) + samples.RANDOM_ROWS // samples.ROWS_AT_ONCE

    def evaluate(student: np.ndarray, teacher: np.ndarray, parameters: dict, temperature: float) -> tuple:
        return context.harness.value_and_gradient(
            divergence.name, student, teacher, parameters, temperature=temperature, reduction="none", dtype=cell.dtype
        )

    started = time.perf_counter()
    every = chain(samples.golden_samples(divergence, cell.dtype), samples.random_samples(divergence, cell.dtype))
    found = comparison.compare(evaluate, cell.dtype, every, lambda done: report(done / total))
    metrics = found.metrics() | {"time/total_s": time.perf_counter() - started}
    violations = found.violations()
    details = {"cells": found.cells, "worst": found.worst_rows(), "violations": violations}
    if divergence.parameters == ("alpha", "beta") and cell.dtype in ("float32", "float64"):
        details["error_map"] = error_map.error_map(
            lambda student, teacher, alpha, beta: evaluate(student, teacher, {"alpha": alpha, "beta": beta}, 1.0)[0]
        )
    return Outcome("failed" if violations else "ok", "; ".join(violations), metrics, {}, details)


# of a cell on one core; TensorFlow's and JAX's are mostly compilation
GUESS_SECONDS = {"torch": 1.0, "jax": 3.0, "tensorflow": 4.0}

SUITE = Suite(
    name="agreement",
    cells=_cells,
    recipe=_recipe,
    sources=_sources,
    run=_run,
    guess_seconds=lambda cell: GUESS_SECONDS[cell.backend],
    refusal=_refusal,
    side_by_side=True,
)
