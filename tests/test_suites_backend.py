"""The suites with a real backend, each on something small."""

import io
import json
import mmap
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reference.catalogue import DIVERGENCES
from results.places import CLONE
from results.records import step_losses
from results.records.store import Store
from suites import registry, sources
from suites.agreement import comparison, samples
from suites.cell import Cell, options
from suites.distill import cells
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.keys import Decided
from suites.plan import PlannedCell
from suites.registry import SUITES
from suites.running import isolated, machine, measuring, runner
from suites.selection import Selection
from suites.suite import Context
from suites.throughput import problems


@pytest.fixture
def context(backend, tmp_path):
    described = backend.describe()
    return Context(backend.NAME, backend, Store(tmp_path), "cpu", threads=1, loss_threads=1, description=described)


@pytest.fixture
def short(monkeypatch):
    """Recipes of two epochs."""
    digits = find.RECIPES["digits"]
    short = {"smoke": digits.students["smoke"] | {"epochs": Value(2)}}
    monkeypatch.setitem(find.RECIPES, "digits", replace(digits, students=short, teachers=short))


def run(cell, context):
    suite = SUITES[cell.suite]
    planned = PlannedCell(suite, cell, suite.decided(cell, context), "", "run")
    record = runner.record_of(planned, runner.run_cell(planned, context), context, "test")
    assert record.status == "ok", record.details.get("traceback", record.message)
    context.store.write(record)
    return record


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_random_rows_agree_with_the_reference(backend, dtype):
    def evaluate(student, teacher, parameters, temperature):
        return backend.value_and_gradient("ab_divergence", student, teacher, parameters, temperature=temperature, dtype=dtype)

    found = comparison.compare(evaluate, dtype, samples.random_samples(DIVERGENCES["ab_divergence"], dtype, 750))
    assert found.violations() == [], found.worst_rows()[0]


def test_cells_without_timings_run_side_by_side_and_give_the_same(context):
    chosen = [
        Cell("agreement", backend=context.backend, options=options(divergence=name), dtype="float64")
        for name in ("forward_kl", "squared_euclidean")
    ]
    plan = [PlannedCell(SUITES["agreement"], cell, Decided({}, cell.option("divergence")), "", "run") for cell in chosen]
    together = runner.run_plan(plan, replace(context, workers=2), runner.SideBySide(registry.measure), io.StringIO())
    assert sorted(record.status for record in together.records) == ["ok", "ok"]
    alone = runner.run_cell(plan[1], context).outcome
    beside = next(record for record in together.records if record.key == plan[1].key)
    for name in ("agreement/value_error", "agreement/gradient_error"):
        assert beside.metrics[name] == alone.metrics[name]


def test_a_teacher_is_trained_once_and_its_student_learns_from_it(context, short):
    selection = Selection(suites=("distill",), backend=context.backend, methods=("abkd",), seeds=1)
    teacher, *_, student = cells.cells(selection, context)
    taught = run(teacher, context)
    assert context.store.weights_path(taught.key).is_file()
    record = run(student, context)
    assert len(record.curves["train/loss"]) == len(record.curves["test/accuracy"]) == 2
    assert record.curves["train/loss"][1] < record.curves["train/loss"][0]
    assert 0 < record.metrics["test/teacher_agreement"] <= 1
    assert record.metrics["time/step_ms"] > 0 and record.metrics["memory/peak_mb"] > 1
    again = run(student, context)
    assert again.key == record.key
    for name in ("train/loss", "test/accuracy", "test/nll"):
        assert again.metrics[name] == record.metrics[name], f"{name} does not repeat"


def test_a_student_in_bfloat16_learns_from_the_same_teacher_and_about_as_well(context, short):
    selection = Selection(
        suites=("distill",), backend=context.backend, methods=("kd",), seeds=1, precisions=("float32", "bfloat16")
    )
    teacher, *_, usual, narrow = cells.cells(selection, context)
    run(teacher, context)
    first, second = run(usual, context), run(narrow, context)
    assert "precision" not in first.cell and second.cell["precision"] == "bfloat16" and first.key != second.key
    losses = [step_losses.read(record.details)[1] for record in (first, second)]
    assert len(losses[0]) == len(losses[1]) == first.details["steps"]
    apart = np.abs(losses[0] / losses[1] - 1)
    # bfloat16 keeps 8 bits: the first loss is off by some of them and not by all
    assert 1e-5 < apart[0] < 0.05 and apart.max() < 0.5
    assert abs(first.metrics["test/accuracy"] - second.metrics["test/accuracy"]) < 0.15


def test_a_repeat_rounds_otherwise_and_is_otherwise_the_same(context, short):
    selection = Selection(suites=("distill",), backend=context.backend, methods=("sft",), seeds=1, repeats=1)
    teacher, *_, usual, again = cells.cells(selection, context)
    run(teacher, context)
    losses = [step_losses.read(run(cell, context).details)[1] for cell in (usual, again)]
    apart = np.abs(losses[0] / losses[1] - 1)
    assert apart[0] < 1e-6 and 0 < apart.max() < 1e-2


def test_a_training_that_is_to_stop_is_pruned_with_its_curves_up_to_there(context, short):
    selection = Selection(suites=("distill",), backend=context.backend, methods=("abkd",), seeds=1)
    teacher, *_, student = cells.cells(selection, context)
    run(teacher, context)
    asked = []
    stop = lambda epochs, accuracy: asked.append((epochs, accuracy)) or True  # noqa: E731
    record = measuring.measure(SUITES["distill"], student, context, stop).outcome
    assert record.status == "pruned" and "after 1 of 2 epochs" in record.message
    assert [len(curve) for curve in record.curves.values()] == [1, 1, 1]
    assert asked == [(1, record.curves["test/accuracy"][0])]
    assert record.metrics["test/accuracy"] == record.curves["test/accuracy"][0]


def test_a_trace_holds_the_first_steps(context):
    selection = Selection(suites=("distill",), backend=context.backend, methods=("abkd",), seeds=1)
    trace = next(c for c in cells.cells(selection, context) if c.scale == "trace" and c.dtype == "float64")
    details = json.loads(run(trace, context).to_json())["details"]["trace"]
    assert len(details["losses"]) == find.TRACE_STEPS and np.isfinite(details["losses"]).all()
    assert np.shape(details["logits"]) == (find.TRACE_EXAMPLES, 10)
    assert any(name.endswith("running_mean") for name in details["statistics"])


def test_a_loss_timing_is_checked_and_set_beside_the_yardstick(context):
    size = {"rows": 20, "classes": 50}
    own = Cell("loss", backend=context.backend, options=options(divergence="ab_divergence", alpha=0.8, beta=0.2, **size))
    yardstick = Cell("loss", backend=context.backend, options=options(implementation="framework_kl", **size))
    for cell in (own, yardstick):
        record = run(cell, context)
        assert record.details["check"]["passed"]
        assert record.metrics["loss/forward_backward_ms"] > 0
        assert len(record.details["samples_s"]["forward_backward"]) >= 9
    assert isolated.threads(context) == 1


def test_throughput_is_measured_beside_plain_loops_that_do_the_same(context, monkeypatch):
    monkeypatch.setitem(problems.ROUNDS, "smoke", (3, 1))
    monkeypatch.setenv("ABKD_DATA", str(context.store.path))  # random images do
    cell = Cell(
        "throughput",
        backend=context.backend,
        pair="resnet8:resnet8",
        dataset="cifar100",
        method="abkd",
        options=options(alpha=0.5, beta=-0.25, temperature=2.0, distill_weight=3.0, hard_weight=1.0),
    )
    record = run(cell, context)  # a plain loop whose loss or size is another one ends as failed
    assert record.details["data"]["stand_in"] and record.details["loss_error"] < 1e-5
    loops = record.details["samples_s"]
    assert set(loops) >= {"harness"} and len(loops) == (4 if context.backend == "torch" else 2)
    assert all(len(seconds) == 3 and min(seconds) > 0 for seconds in loops.values())
    for name in ("images_per_s", "plain_images_per_s", "times_plain", "input_times_training"):
        assert record.metrics[f"throughput/{name}"] > 0
    assert ("throughput/times_loader" in record.metrics) == (context.backend == "torch")


def test_peak_memory_counts_what_was_there_for_a_moment(backend):
    if not machine.reset_peak():
        pytest.skip("this system does not let a process reset its peak")
    before = machine.resident_bytes()
    with mmap.mmap(-1, 80_000_000) as fresh:  # an allocator might take it from what it holds already
        fresh.write(bytes(80_000_000))
    assert machine.peak_bytes() - before > 75e6


def executed(run):
    """(file, outermost function or class) of all code of this project that a call runs, in this thread."""
    found = set()
    folders = tuple(f"{CLONE / name}{os.sep}" for name in ("reference", "backends", "suites", "results"))  # not .nox

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(folders) and "<" not in frame.f_code.co_name:
            found.add((frame.f_code.co_filename, frame.f_code.co_qualname.split(".")[0]))

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def test_all_code_that_a_cell_runs_is_in_its_key(context, short):
    selection = Selection(suites=("distill",), backend=context.backend, methods=("jsd", "abdkd"), seeds=1)
    agreement = [
        Cell("agreement", backend=context.backend, options=options(divergence=name), dtype="float64")
        for name in ("squared_hellinger", "total_variation")
    ]
    for cell in [*agreement, *cells.cells(selection, context)]:
        suite = SUITES[cell.suite]
        code = suite.code(cell)
        words = [word for word in (cell.method, cell.option("divergence"), "teacher") if word]
        mentioned = sources._mentioned(
            tuple(str(CLONE / name) for name in code), cell.backend, frozenset(words).union(map(repr, words))
        )
        for path, name in executed(lambda suite=suite, cell=cell: measuring.measure(suite, cell, context)):
            source = sources.read(Path(path))
            if sources.irrelevant(Path(path)):
                continue
            where = f"{source.name}, {name}: runs in {cell.suite} {cell.label} and is not in its key"
            assert source.name in code, where
            assert not source.is_table or not source.defines(name) or name in mentioned, where
