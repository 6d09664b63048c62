"""Run the worker process for a problem, and turn its answer into the records of the loss and of the yardstick."""

import dataclasses
import statistics
import time
from typing import Any

from backends.common.arguments import DTYPE_BYTES
from suites.cell import Cell
from suites.loss.implementations import IMPLEMENTATIONS, of_backend, of_cell
from suites.loss.problems import Problem, minimum_bytes_per_element
from suites.running import isolated
from suites.suite import Context, Outcome, Report, Stop

# seconds after which a worker is taken for stuck
TIMEOUT_SECONDS = 600


# what a run of the worker has measured for cells that have not come yet, by implementation and problem
_waiting: dict[tuple[str, Problem], dict[str, Any]] = {}


def run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Measure a cell. The implementations of one problem share a run of the worker."""
    implementation, problem = of_cell(cell), _problem(cell, context)
    started = time.perf_counter()
    answer = _waiting.pop((implementation.name, implementation.problem(problem)), None)
    if answer is None:
        answer = isolated.ask("suites.loss.worker", dataclasses.asdict(problem), TIMEOUT_SECONDS)
        others = (IMPLEMENTATIONS[name] for name in problem.implementations if name != implementation.name)
        _waiting.update({(other.name, other.problem(problem)): answer for other in others})
    outcome = _outcome(implementation.name, problem, answer)
    outcome.metrics["time/total_s"] = time.perf_counter() - started
    return outcome


def _problem(cell: Cell, context: Context) -> Problem:
    return Problem(
        backend=cell.backend,
        rows=cell.option("rows"),
        classes=cell.option("classes"),
        dtype=cell.dtype,
        alpha=cell.option("alpha", 1.0),
        beta=cell.option("beta", 0.0),
        temperature=cell.option("temperature", 1.0),
        device=cell.device,
        threads=isolated.threads(context),
        implementations=tuple(row.name for row in of_backend(cell.backend) if row.refusal(cell) is None),
    )


def _outcome(name: str, problem: Problem, answer: dict[str, Any]) -> Outcome:
    """Metrics of one implementation; failed where its tensors disagree with the reference."""
    measured = answer["implementations"][name]
    samples = {direction: answer["timings"][f"{name}/{direction}"] for direction in ("forward", "forward_backward")}
    copy = answer["timings"]["copy"]
    median = {direction: statistics.median(values) for direction, values in samples.items()}
    bandwidth = 2 * 4 * problem.elements / statistics.median(copy)  # the copied array is float32, read and written
    minimum = minimum_bytes_per_element(problem.dtype)
    bytes_per_element = median["forward_backward"] * bandwidth / problem.elements
    metrics = {
        "loss/forward_ms": 1000 * median["forward"],
        "loss/forward_backward_ms": 1000 * median["forward_backward"],
        "loss/bytes_per_element": bytes_per_element,
        "loss/percent_of_copy": 100 * minimum / bytes_per_element,
        "time/compile_s": measured["compile_seconds"],
        "memory/peak_mb": measured["peak_bytes"] / 1e6,
    }
    input_bytes = problem.elements * DTYPE_BYTES[problem.dtype]
    details = {
        "samples_s": samples | {"copy": copy},
        "check": measured["check"],
        "copy_bytes_per_second": bandwidth,
        "minimum_bytes_per_element": minimum,
        "peak_over_one_input": measured["peak_bytes"] / input_bytes,
        "peak_is_of_second_call": measured["peak_is_of_second_call"],
        "description": answer["description"],
    }
    if measured["check"]["passed"]:
        return Outcome("ok", "", metrics, {}, details)
    check = measured["check"]
    message = (
        f"timing void: value {check['value']:.9g}, reference {check['reference_value']:.9g} (relative difference "
        f"{check['value_error']:.2g}, allowed {check['limits'][0]:g}); gradient error {check['gradient_error']:.2g}, "
        f"allowed {check['limits'][1]:g}"
    )
    return Outcome("failed", message, metrics, {}, details)
