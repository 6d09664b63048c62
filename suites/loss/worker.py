"""Measure one problem in a process of its own: `python -m suites.loss.worker REQUEST ANSWER` (JSON files).

A fresh process makes peak memory mean something, and a process that the system kills for memory takes no other cell
with it. Memory is read before pytest-benchmark, which keeps things of its own, takes the timings.
"""

import contextlib
import gc
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import backends
from suites.loss import benchmarks, check
from suites.loss.benchmarks import Timed
from suites.loss.implementations import IMPLEMENTATIONS, Implementation
from suites.loss.problems import WARM_UP_ROWS, Problem
from suites.running import isolated, machine


def measure(problem: Problem) -> dict[str, Any]:
    """Measure a problem's implementations.

    Returns:
        "implementations": by name check, compile_seconds, peak_bytes, first_call_seconds; "timings": by
        "implementation/direction" and "copy" the raw seconds; "description", the backend's.
    """
    harness = backends.load(problem.backend)
    harness.set_up(threads=problem.threads, device=problem.device)
    student, teacher = problem.logits()
    answer: dict[str, Any] = {"implementations": {}, "description": harness.describe()}
    workload: list[Timed] = []
    for implementation in (IMPLEMENTATIONS[name] for name in problem.implementations):
        compile_seconds = _warm_up(harness, implementation, problem)
        call = _prepare(harness, implementation, problem, student, teacher)
        measured = _first_calls(call, harness)
        measured["compile_seconds"] += compile_seconds
        measured["check"] = check.compare(problem, implementation, *call.result())
        answer["implementations"][implementation.name] = measured
        for direction in ("forward", "forward_backward"):
            workload.append(timed(f"{implementation.name}/{direction}", getattr(call, direction)))
    workload.append(timed("copy", harness.prepare_copy(problem.elements)))
    del student, teacher
    gc.collect()
    answer["timings"] = benchmark(workload)
    return answer


def _prepare(
    harness: ModuleType, implementation: Implementation, problem: Problem, student: np.ndarray, teacher: np.ndarray
) -> Any:
    module, _, function = implementation.prepare.partition(":")
    return getattr(import_module(module), function)(harness, implementation, problem, student, teacher)


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _warm_up(harness: ModuleType, implementation: Implementation, problem: Problem) -> float:
    """Run a problem of few rows, which shares libraries and compiled code with the large one.

    Returns:
        Seconds that the first calls took beyond the second ones.
    """
    call = _prepare(harness, implementation, problem, *problem.logits(min(WARM_UP_ROWS, problem.rows)))
    return sum(max(0.0, _seconds(f) - _seconds(f)) for f in (call.forward_backward, call.forward))


def _first_calls(call: Any, harness: Any) -> dict[str, Any]:
    """Peak memory and time of the first calls on the full problem, beyond the inputs that are there already.

    The peak is that of the second call, above what was resident before the first: what a call leaves behind counts,
    the compiler's own transient memory does not.
    """
    gc.collect()
    before = machine.resident_bytes()
    first = _seconds(call.forward_backward)
    resettable = machine.reset_peak()
    second = _seconds(call.forward_backward)
    peak = machine.peak_bytes() - before
    on_device = harness.peak_memory_bytes()
    compile_seconds = max(0.0, first - second) + max(0.0, _seconds(call.forward) - _seconds(call.forward))
    return {
        "compile_seconds": compile_seconds,
        "first_call_seconds": first,
        "peak_bytes": on_device or peak,
        "peak_is_of_second_call": resettable,
    }


def timed(name: str, call: Callable[[], object]) -> Timed:
    """A call that is to be timed, with the seconds that it takes once it is warm."""
    call()
    return Timed(name, call, _seconds(call))


class _Workload:
    """Plugin that hands the calls to the benchmark functions."""

    def __init__(self, workload: list[Timed]) -> None:
        self.workload = workload

    def pytest_generate_tests(self, metafunc: Any) -> None:
        metafunc.parametrize("timed", self.workload, ids=[timed.name for timed in self.workload])


def benchmark(workload: list[Timed]) -> dict[str, list[float]]:
    """Run pytest-benchmark on the workload: raw seconds of each round by name.

    Raises:
        RuntimeError: a call failed; the message holds what pytest printed.
    """
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "timings.json"
        arguments = [
            benchmarks.__file__,
            "-q",
            "-p",
            "no:cacheprovider",
            "--noconftest",
            f"--rootdir={folder}",
            "-c",
            os.devnull,
            f"--benchmark-json={report}",
            "--benchmark-disable-gc",
            "--benchmark-quiet",
        ]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = pytest.main(arguments, plugins=[_Workload(workload)])
        if status != 0:
            raise RuntimeError(f"pytest-benchmark ended with status {status}:\n{printed.getvalue()}")
        timings = json.loads(report.read_text())["benchmarks"]
    return {timing["extra_info"]["name"]: timing["stats"]["data"] for timing in timings}


if __name__ == "__main__":
    isolated.answer(Problem, measure)
