"""CONTRIBUTING.md's examples beside the divergence: each is put where the page says that it goes, and is used."""

import importlib
import importlib.util
import sys
from dataclasses import replace

import contributing_example as page
import fake_harness
import numpy as np
import pytest

import backends
from backends.common import methods, networks
from reference import classification, objectives
from reference.grid import draw_logits
from results import metrics as metrics_table
from results.records.store import Store
from suites import __main__ as command
from suites import datasets, tasks
from suites.cell import Cell
from suites.distill.recipes import find
from suites.loss import check, implementations, worker
from suites.loss.problems import Problem
from suites.tasks.classification import metrics


@pytest.fixture
def as_file(tmp_path, monkeypatch):
    """Import code from a file of its own: keys are read off files."""

    def put(name, code, package="suites"):
        path = tmp_path / f"{name}.py"
        path.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"{package}.contributed_{name}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, f"{package}.contributed_{name}", module)
        spec.loader.exec_module(module)
        return module

    return put


@pytest.fixture
def distilled(as_file, monkeypatch, tmp_path):
    """Run the distillation of the example's data set with the method of the example: records by method."""
    data, recipes = (as_file(name, code) for name, code in zip(("data", "recipes"), page.code_of("a data set"), strict=True))
    monkeypatch.setitem(datasets.TABLE, data.DATASET.name, data.DATASET)
    monkeypatch.setitem(find.RECIPES, data.DATASET.name, recipes.RECIPES)
    method = eval(page.code_of("a method")[0], vars(methods))
    monkeypatch.setitem(methods.METHODS, method.name, method)
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)

    def run():
        store = ["--store", str(tmp_path / "store"), "--no-mlflow"]
        words = ["distill", "--backend", "torch", "--dataset", data.DATASET.name, "--seeds", "1", *store]
        assert command.main(words) == 0
        records = Store(tmp_path / "store").records()
        return {record.cell["method"]: record for record in records if record.cell["scale"] == "smoke"}

    yield run
    datasets.load.cache_clear()


def test_the_data_set_its_recipes_and_the_method_are_run(distilled):
    records = distilled()
    assert set(records) == {"teacher", "sft", "jeffreys"}
    record = records["jeffreys"]
    assert record.status == "ok" and record.metrics["test/accuracy"] > 0.8
    assert record.details["data"]["source"].endswith("; mirrored")
    assert any(name.endswith("/data.py") for name in record.details["decided"]["code"])


def test_the_task_judges_students_by_its_own_metric(distilled, as_file, monkeypatch):
    fair = as_file("fair", page.code_of("a task")[0]).FAIR
    monkeypatch.setitem(tasks.TASKS, fair.name, fair)
    monkeypatch.setitem(datasets.TABLE, "mirrored", replace(datasets.TABLE["mirrored"], task=fair.name))
    record = distilled()["sft"]
    assert record.status == "ok" and record.metrics["test/best_worst_class"] == max(record.curves["test/worst_class"])
    assert record.metrics["test/worst_class"] <= record.metrics["test/accuracy"]


def test_the_network_is_known_by_name_and_has_weights(as_file, monkeypatch):
    for name, family in as_file("one_layer", page.code_of("a model")[0], "backends.common.networks").FAMILIES.items():
        monkeypatch.setitem(networks.FAMILIES, name, family)
    spec = networks.get("One_Layer")
    assert networks.parameter_count(spec) == 650
    assert {name: array.shape for name, array in networks.initial_weights(spec, 0).items()} == {
        "output.weight": (10, 64),
        "output.bias": (10,),
    }


def test_the_metric_is_computed_and_its_row_is_found(monkeypatch):
    function, row = page.code_of("a metric")
    monkeypatch.setattr(metrics, "accuracy_within", None, raising=False)
    page.add_to(metrics, function)
    logits, _ = draw_logits(10, "10", "float64", 8, 1)
    order = np.argsort(-logits, axis=-1)
    assert metrics.accuracy_within(logits, order[:, 4]) == 1 and metrics.accuracy_within(logits, order[:, 5]) == 0
    monkeypatch.setattr(metrics_table, "METRICS", dict(metrics_table.METRICS))
    page.add_to(metrics_table, row)
    assert metrics_table.find("test/top_5").heading == "top-5 accuracy" and metrics_table.find("test/top_5").best is max


def test_the_implementation_is_timed_by_calls_that_pass_their_check(backend, monkeypatch):
    row = eval(page.code_of("an implementation to time")[0], vars(implementations))
    monkeypatch.setitem(implementations.IMPLEMENTATIONS, row.name, row)
    assert row in implementations.of_backend(backend.NAME)
    assert row.refusal(Cell("loss", backend.NAME)) is None
    problem = Problem(backend.NAME, 20, 10, "float32", 0.8, 0.2, 1.0, "cpu", 1)
    call = worker._prepare(backend, row, problem, *problem.logits())
    call.forward()
    call.forward_backward()
    assert check.compare(problem, row, *call.result())["passed"]


def test_the_objectives_gradient_is_that_of_its_value(monkeypatch):
    value_and_gradient = _reference_objective(monkeypatch)
    student, teacher = draw_logits(10, "10", "float64", 4, 1)
    _, gradient = value_and_gradient(student, teacher)
    step = 1e-5 * np.random.RandomState(0).standard_normal(student.shape)
    above, below = (value_and_gradient(student + by, teacher)[0] for by in (step, -step))
    assert (above - below) / 2 == pytest.approx((gradient * step).sum(), rel=1e-6)


def _reference_objective(monkeypatch):
    name = "jeffreys_loss_and_gradient"
    monkeypatch.setattr(classification, name, None, raising=False)
    page.add_to(classification, page.code_of("an objective")[0])
    monkeypatch.setattr(objectives, name, getattr(classification, name), raising=False)
    return getattr(objectives, name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_objective_agrees_with_its_reference(backend, monkeypatch, dtype):
    value_and_gradient = _reference_objective(monkeypatch)
    losses = importlib.import_module(f"backends.{backend.NAME}.losses.classification")
    door = importlib.import_module(f"backends.{backend.NAME}.objectives")
    monkeypatch.setattr(losses, "jeffreys_loss", None, raising=False)
    page.add_to(losses, page.code_of("an objective")[1])
    monkeypatch.setattr(door, "jeffreys_loss", losses.jeffreys_loss, raising=False)
    monkeypatch.setattr(door, "__all__", [*door.__all__, "jeffreys_loss"])
    student, teacher = draw_logits(10, "10", dtype, 6, 1)
    value, gradient = backend.named_objective_and_gradient("jeffreys_loss", student, teacher, None, {"temperature": 2.0}, dtype)
    want, slopes = value_and_gradient(student, teacher, temperature=2.0)
    bound = 1e-12 if dtype == "float64" else 1e-5
    assert value == pytest.approx(want, rel=bound)
    assert np.abs(gradient - slopes).max() <= 10 * bound * np.abs(slopes).max()
