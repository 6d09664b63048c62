"""Compare a backend's divergence with the reference: golden cases, random rows, and the map of errors."""

import time
from itertools import chain

import numpy as np

from reference import error_map
from reference.catalogue import DIVERGENCES
from reference.golden import compute
from suites.agreement import comparison, samples
from suites.cell import Cell
from suites.suite import Context, Outcome, Report, Stop


def run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Compare golden cases and random rows; failed where an error is over its bound."""
    divergence = DIVERGENCES[cell.option("divergence")]
    total = len(compute.load(divergence.name, dtype=cell.dtype)) + samples.RANDOM_ROWS // samples.ROWS_AT_ONCE

    def evaluate(student: np.ndarray, teacher: np.ndarray, parameters: dict, temperature: float) -> tuple:
        return context.harness.value_and_gradient(
            divergence.name, student, teacher, parameters, temperature=temperature, reduction="none", dtype=cell.dtype
        )

    started = time.perf_counter()
    every = chain(samples.golden_samples(divergence, cell.dtype), samples.random_samples(divergence, cell.dtype))
    compared = comparison.compare(evaluate, cell.dtype, every, lambda done: report(done / total))
    metrics = compared.metrics() | {"time/total_s": time.perf_counter() - started}
    violations = compared.violations()
    details = {"cells": compared.cells, "worst": compared.worst_rows(), "violations": violations}
    if divergence.parameters == ("alpha", "beta") and cell.dtype in ("float32", "float64"):
        details["error_map"] = error_map.error_map(
            lambda student, teacher, alpha, beta: evaluate(student, teacher, {"alpha": alpha, "beta": beta}, 1.0)[0]
        )
    return Outcome("failed" if violations else "ok", "; ".join(violations), metrics, {}, details)
