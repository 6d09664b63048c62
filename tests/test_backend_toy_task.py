"""A task of a test's folder and the example of docs are trained by the suite's command: no other file knows of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOSEN

from results.records.store import Store

CLONE = Path(__file__).resolve().parent.parent
TOY, EXAMPLE = CLONE / "tests/toy_task/points.py", CLONE / "docs/plugin_example.py"


def _command(store, *arguments, **variables):
    """The command in a process of its own: what plugins add to the tables stays there."""
    command = [sys.executable, "-m", "suites", "distill", "--backend", CHOSEN, "--no-mlflow", "--threads", "1"]
    ended = subprocess.run(
        [*command, "--store", str(store), *arguments],
        cwd=CLONE,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {(record.cell["method"], record.cell["scale"]): record for record in Store(store).records()}, ended.stdout


@pytest.mark.usefixtures("backend")
def test_a_task_with_data_batches_metric_network_and_recipes_of_its_own_is_trained(tmp_path):
    records, printed = _command(tmp_path, "--dataset", "rings", ABKD_PLUGINS=str(TOY))
    assert set(records) == {("teacher", "smoke"), ("abkd", "trace"), ("sft", "smoke"), ("abkd", "smoke")}
    for method in ("teacher", "sft", "abkd"):
        record = records[method, "smoke"]
        assert record.status == "ok" and record.metrics["test/macro_f1"] > 0.6, record.details.get("traceback")
        assert record.metrics["test/best_macro_f1"] == max(record.curves["test/macro_f1"])
        assert "test/accuracy" not in record.metrics
    assert "macro F1" in printed
    assert len(records["abkd", "trace"].details["trace"]["losses"]) == 400 // 32
    _, printed = _command(tmp_path, "--dataset", "rings", "--plugin", str(TOY), "--plan")
    (total,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert total[1:4] == ["5", "5", "0"]  # planned, finished, to run


@pytest.mark.usefixtures("backend")
def test_the_example_of_docs_trains_a_network_of_the_users_own_on_images_of_the_users_own(tmp_path):
    from suites import datasets

    digits = datasets.load("digits")
    parts = {"train": digits.train, "test": digits.test}
    arrays = {f"{name}_images": part.images * 15 for name, part in parts.items()}
    np.savez(tmp_path / "my_images.npz", **arrays, **{f"{name}_labels": part.labels for name, part in parts.items()})
    store = tmp_path / "store"
    choice = ("--plugin", str(EXAMPLE), "--dataset", "my-images", "--method", "abkd")
    records, _ = _command(store, *choice, ABKD_DATA=str(tmp_path))
    student = records["abkd", "smoke"]
    assert student.cell["pair"] == "convnet-8-16:perceptron-16" and student.metrics["test/accuracy"] > 0.7
    assert student.details["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert any(name.endswith("plugin_example.py") for name in student.details["decided"]["code"])
