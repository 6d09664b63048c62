"""Run the worker process for a problem, and turn its answer into the records of the loss and of the yardstick."""

import dataclasses
import statistics
import time
from typing import Any

from suites.cell import Cell
from suites.loss.problems import DEFAULT_ALPHA, DEFAULT_BETA, Problem, minimum_bytes_per_element
from suites.running import isolated
from suites.suite import Context, Outcome, Report, Stop

# seconds after which a worker is taken for stuck
TIMEOUT_SECONDS = 600


# what a run of the worker has measured for a cell that has not come yet, by that cell's problem
_waiting: dict[Problem, dict[str, Any]] = {}


def run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Measure a cell. The loss and the yardstick of one problem share a run of the worker."""
    problem = _problem(cell, context)
    yardstick = dataclasses.replace(problem, alpha=0, beta=0, temperature=0)
    asked, other = (yardstick, problem) if _is_yardstick(cell) else (problem, yardstick)
    started = time.perf_counter()
    answer = _waiting.pop(asked, None)
    if answer is None:
        answer = isolated.ask("suites.loss.worker", dataclasses.asdict(problem), TIMEOUT_SECONDS)
        _waiting[other] = answer
    outcome = _outcome(cell, problem, answer)
    outcome.metrics["time/total_s"] = time.perf_counter() - started
    return outcome


def _is_yardstick(cell: Cell) -> bool:
    return cell.option("implementation") == "framework_kl"


def _problem(cell: Cell, context: Context) -> Problem:
    return Problem(
        backend=cell.backend,
        rows=cell.option("rows"),
        classes=cell.option("classes"),
        dtype=cell.dtype,
        alpha=cell.option("alpha", DEFAULT_ALPHA),
        beta=cell.option("beta", DEFAULT_BETA),
        temperature=cell.option("temperature", 1.0),
        device=cell.device,
        threads=isolated.threads(context),
    )


def _outcome(cell: Cell, problem: Problem, answer: dict[str, Any]) -> Outcome:
    """Metrics of one implementation; failed where its tensors disagree with the reference."""
    name = "framework_kl" if _is_yardstick(cell) else cell.option("divergence")
    found = answer["implementations"][name]
    samples = {direction: answer["timings"][f"{name}/{direction}"] for direction in ("forward", "forward_backward")}
    copy = answer["timings"]["copy"]
    median = {direction: statistics.median(values) for direction, values in samples.items()}
    bandwidth = 2 * 4 * problem.elements / statistics.median(copy)  # the copied array is float32, read and written
    minimum = minimum_bytes_per_element(problem.dtype, "forward_backward")
    bytes_per_element = median["forward_backward"] * bandwidth / problem.elements
    metrics = {
        "loss/forward_ms": 1000 * median["forward"],
        "loss/forward_backward_ms": 1000 * median["forward_backward"],
        "loss/bytes_per_element": bytes_per_element,
        "loss/percent_of_copy": 100 * minimum / bytes_per_element,
        "time/compile_s": found["compile_seconds"],
        "memory/peak_mb": found["peak_bytes"] / 1e6,
    }
    input_bytes = problem.elements * {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[problem.dtype]
    details = {
        "samples_s": samples | {"copy": copy},
        "check": found["check"],
        "copy_bytes_per_second": bandwidth,
        "minimum_bytes_per_element": minimum,
        "peak_over_one_input": found["peak_bytes"] / input_bytes,
        "peak_is_of_second_call": found["peak_is_of_second_call"],
        "description": answer["description"],
    }
    if found["check"]["passed"]:
        return Outcome("ok", "", metrics, {}, details)
    check = found["check"]
    message = (
        f"timing void: value {check['value']:.9g}, reference {check['reference_value']:.9g} (relative difference "
        f"{check['value_error']:.2g}, allowed {check['limits'][0]:g}); gradient error {check['gradient_error']:.2g}, "
        f"allowed {check['limits'][1]:g}"
    )
    return Outcome("failed", message, metrics, {}, details)
