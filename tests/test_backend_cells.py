"""A cell whose process is killed at a random step, and the same command again."""

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cell_worker
import pytest
from conftest import CHOSEN

from results.records.store import Store
from suites import plan, registry
from suites.distill import cells, checkpoint


def decided(record):
    """All of a record that must be the same bit for bit: not the times, not the memory, not the load."""
    kept = {name: value for name, value in record.metrics.items() if not name.startswith(("time/", "memory/"))}
    details = {name: value for name, value in record.details.items() if name != "system"}
    return record.key, record.status, kept, record.curves, details


@pytest.fixture
def few_images(monkeypatch):
    cell_worker.shorten(monkeypatch.setitem, monkeypatch.setattr)


def assert_the_plan_says_what_becomes_of_it(cell, context):
    def planned(cell, context):
        return plan.describe([plan.look_up(registry.SUITES["distill"], cell, context, plan.Earlier())]).splitlines()[-1]

    assert planned(cell, context) == f"distill {cell.label}: goes on from its checkpoint"
    threads = replace(context, description={**context.description, "threads": "7"})
    words = planned(cell, threads)
    assert "starts from the beginning" in words and "threads: then '1', now '7'" in words
    assert "device: then 'cpu', now 'cuda'" in planned(replace(cell, device="cuda"), context)
    assert "code, recipe or data have changed" in checkpoint.begun(cell, "another key", context)
    assert checkpoint.begun(replace(cell, seed=1), "another key", context) == ""


def test_killed_and_run_again_gives_the_record_of_an_uninterrupted_run(backend, tmp_path, few_images, monkeypatch):
    cell = cell_worker.student_cell(backend)
    context = cell_worker.context_of(backend, Store(tmp_path / "killed"))
    assert cell_worker.run(cells.teacher_cell(cell), context).status == "ok"
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    total = cell_worker.EPOCHS * cell_worker.STEPS
    step = random.SystemRandom().randrange(cell_worker.STEPS, total)
    worker = Path(cell_worker.__file__)
    ended = subprocess.run(
        [sys.executable, str(worker), CHOSEN, str(tmp_path / "killed"), str(step)],
        env={**os.environ, "PYTHONPATH": str(worker.parent.parent)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    kept = checkpoint.path_of(cells.resolve(cell, context).key, context)
    assert kept.is_file() and len(context.store.records()) == 1
    assert_the_plan_says_what_becomes_of_it(cell, context)

    made = cell_worker.counted(monkeypatch.setitem)
    again = cell_worker.run(cell, context)
    assert made[-1].asked == total - step // cell_worker.STEPS * cell_worker.STEPS  # on from the last epoch's end
    assert not kept.exists() and not list(kept.parent.iterdir())
    whole = cell_worker.run(cell, cell_worker.context_of(backend, Store(tmp_path / "whole")))
    assert made[-1].asked == total
    assert whole.status == "ok" and decided(again) == decided(whole), f"killed at step {step}"
