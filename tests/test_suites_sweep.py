"""Sweeps: what may be said, proposals, early stopping, resuming, and processes, with a backend of NumPy."""

import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import fake_harness
import psutil
import pytest

import backends
from results.records import sweep_notes
from results.records.store import Store
from suites import __main__ as command
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.sweep import options as sweep_options
from suites.sweep.space import Range, propose
from suites.sweep.stopping import Judge, Rules, Wait, rungs

HERE = Path(__file__).resolve().parent
GRID = ["--backend", "torch", "--alpha", "0,0.1,0.2,1", "--beta", "0.2", "--seeds", "2"]
EPOCHS = 4


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)
    monkeypatch.setattr(fake_harness, "on_train", None)
    monkeypatch.setattr(fake_harness, "trainings", 0)


@pytest.fixture
def short(monkeypatch):
    """Fewer epochs; other processes do not see this."""
    digits = find.RECIPES["digits"]
    trained = {"smoke": digits.students["smoke"] | {"epochs": Value(EPOCHS)}}
    monkeypatch.setitem(find.RECIPES, "digits", replace(digits, students=trained, teachers=trained))


def run(store, *arguments, workers=1, mlflow=False):
    first = ["sweep", "--workers", str(workers)] if arguments[0] != "distill" else []
    return command.main([*first, *arguments, "--store", str(store), *([] if mlflow else ["--no-mlflow"])])


def outcomes(store):
    """What became of each cell, without times."""
    return {
        record.key: (record.status, record.message, record.curves, record.metrics.get("test/accuracy"))
        for record in Store(store).records()
    }


def statuses(store, seed=0):
    """Status by α of one seed."""
    return {
        record.cell["alpha"]: str(record.status)
        for record in Store(store).records()
        if record.cell.get("alpha") is not None and record.cell["seed"] == seed
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep"], ["nothing to search", "--alpha 0.2,0.5,0.8", "--sampler random"]),
        (["sweep", "loss", "--alpha", "0,1"], ["'sweep' runs alone", "loss"]),
        (["sweep", "--sampler", "tpe", "--alpha", "0,1"], ["sampler 'tpe'", "grid, random"]),
        (["sweep", "--alpha", "0:1"], ["--alpha 0:1", "a grid needs values", "--sampler random --trials"]),
        (["sweep", "--trials", "4", "--alpha", "0,1"], ["trials 4", "--sampler random"]),
        (["sweep", "--sampler", "random", "--alpha", "0:1"], ["--trials 40"]),
        (["sweep", "--sampler", "random", "--trials", "0", "--alpha", "0:1"], ["trials 0", "at least 1"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--alpha", "1:1"], ["'1:1' is an empty range"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--alpha", "0:x"], ["'0:x' is not a range", "low:high"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--temperature", "0:4"], ["temperature=0.0"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--set", "gamma=0:1"], ["gamma 0.0", "abkd"]),
        (["sweep", "--method", "kd", "--alpha", "0,1"], ["alpha 0.0", "kd"]),
        (["sweep", "--alpha", "0,1", "--early-stop", "1"], ["early-stop 1", "at least 2"]),
        (["sweep", "--alpha", "0,1", "--workers", "0"], ["workers 0", "at least 1"]),
        (["sweep", "--alpha", "0,1", "--gpus-per-cell", "0.5"], ["gpus-per-cell 0.5", "--ray"]),
        (["distill", "--alpha", "0:1"], ["--alpha 0:1", "sweep --sampler random --trials 40 --alpha 0:1"]),
        (["distill", "--trials", "4"], ["--trials 4", "`sweep`"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--alpha=-1e308:1e308"], ["-1e308:1e308", "width"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--alpha", "0:1e-323"], ["0:1e-323", "width"]),
        (["sweep", "--sampler", "random", "--trials", "4", "--set", "epochs=1:4"], ["epochs=1:4", "list of values"]),
    ],
)
def test_bad_input_names_the_value_and_what_is_allowed(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        command.main([*arguments, "--backend", "torch", "--store", str(tmp_path)])
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert all(word in said for word in words), said
    assert fake_harness.trainings == 0


def test_a_package_that_is_not_installed_is_named_with_the_command(tmp_path, capsys, monkeypatch):
    real = sweep_options.importlib.util.find_spec
    monkeypatch.setattr(sweep_options.importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    with pytest.raises(SystemExit):
        command.main(["sweep", *GRID, "--ray", "--store", str(tmp_path)])
    said = capsys.readouterr().err
    assert "'ray' is not installed" in said and "pip install --group ray" in said


def test_proposals_depend_on_their_seed_alone_and_more_trials_add_to_them():
    space = {"alpha": Range(0, 1), "beta": (0.2, 0.4), "distill_weight": Range(1e-7, 2e-7)}
    found = propose(space, 20, 3)
    assert propose(space, 40, 3)[:20] == found != propose(space, 20, 4)
    assert all(0 <= p["alpha"] <= 1 and p["beta"] in (0.2, 0.4) and 1e-7 <= p["distill_weight"] <= 2e-7 for p in found)
    assert len({p["alpha"] for p in found}) == len({p["distill_weight"] for p in found}) == 20
    assert all(len(f"{p['alpha']:g}") <= 6 for p in found)  # what a record says is what people can type


def test_the_plan_counts_settings_and_cells_and_runs_none(tmp_path, capsys):
    assert run(tmp_path, *GRID, "--temperature", "1,4", "--plan") == 0
    printed = capsys.readouterr().out
    assert fake_harness.trainings == 0
    assert "grid of 8 settings × 2 seeds" in printed and "temperature: 1, 4" in printed and "about" in printed
    last = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert last[1:5] == ["17", "0", "17", "0"]


def test_a_sweep_takes_over_what_distill_has_finished_and_the_other_way_round(tmp_path, capsys, short):
    assert run(tmp_path, "distill", "--backend", "torch", "--method", "abkd", "--alpha", "0,1", "--seeds", "2") == 0
    trained = fake_harness.trainings
    assert run(tmp_path, *GRID) == 0
    assert fake_harness.trainings == trained + 4  # two values of α are new, and the teacher is there
    assert run(tmp_path, "distill", "--backend", "torch", "--method", "abkd", "--alpha", "0.1,0.2", "--seeds", "2") == 0
    assert fake_harness.trainings == trained + 4 + 2  # two traces of the new first setting
    assert run(tmp_path, *GRID) == 0 and "nothing to run" in capsys.readouterr().out


def test_random_search_runs_its_proposals(tmp_path, capsys, short):
    search = ["--backend", "torch", "--sampler", "random", "--trials", "5", "--alpha", "0:1", "--beta", "0:1"]
    assert run(tmp_path, *search, "--set", "distill_weight=1:9", "--temperature", "2", "--seeds", "1") == 0
    printed = capsys.readouterr().out
    students = [r for r in Store(tmp_path).records() if r.cell["method"] == "abkd"]
    space = {"alpha": Range(0, 1), "beta": Range(0, 1), "distill_weight": Range(1, 9), "temperature": (2.0,)}
    wanted = propose(space, 5, 0)
    assert sorted(r.cell["alpha"] for r in students) == sorted(p["alpha"] for p in wanted)
    assert sorted(r.cell["distill_weight"] for r in students) == sorted(p["distill_weight"] for p in wanted)
    assert "distill weight" in next(line for line in printed.splitlines() if line.startswith("[ 2/ 6]") or "[2/6]" in line)


def test_settings_that_fall_behind_are_stopped_and_their_other_seeds_not_run(tmp_path, capsys, short):
    alphas = [0, 0.05, 0.1, 0.15, 0.2, 0.4, 0.6, 1]
    assert run(tmp_path, *GRID[:2], "--alpha", ",".join(map(str, alphas)), *GRID[4:], "--early-stop") == 0
    printed, found = capsys.readouterr().out, statuses(tmp_path)
    stopped = [alpha for alpha in alphas if found[alpha] == "pruned"]
    assert found[1] == "ok" and 2 <= len(stopped) <= 6 and statuses(tmp_path, seed=1) == found
    # of those that went on at a rung only the first ones, who had met few, may be worse than all that were stopped
    assert sum(alpha < min(stopped) for alpha in alphas if alpha not in stopped) <= 1
    assert f"not all seeds of these: {len(stopped)} (stopped early: {len(stopped)})" in printed
    for record in Store(tmp_path).records(status="pruned"):
        done = record.details["pruned"]["epochs"]
        assert done == 0 if record.cell["seed"] else done in (1, 2)
        assert len(record.curves.get("test/accuracy", [])) == len(record.curves.get("train/loss", [])) == done


def test_pruned_cells_are_finished_for_their_sweep_alone(tmp_path, short):
    falling = [*GRID[:2], "--alpha", "1,0.3,0.2,0.1,0", *GRID[4:]]
    assert run(tmp_path, *falling, "--early-stop") == 0
    (stopped, *_) = (alpha for alpha, status in statuses(tmp_path).items() if status == "pruned")
    trained, before = fake_harness.trainings, outcomes(tmp_path)
    assert run(tmp_path, *falling, "--early-stop") == 0
    assert fake_harness.trainings == trained and outcomes(tmp_path) == before
    assert run(tmp_path, "distill", "--backend", "torch", "--method", "abkd", "--alpha", str(stopped), "--seeds", "1") == 0
    assert statuses(tmp_path)[stopped] == "ok"
    assert run(tmp_path, *falling) == 0  # the same settings, all of them to the end
    assert set(statuses(tmp_path).values()) == set(statuses(tmp_path, seed=1).values()) == {"ok"}
    assert run(tmp_path, *falling, "--early-stop") == 0 and "pruned" not in statuses(tmp_path).values()


@pytest.mark.parametrize("broken_off", [2, 4, 6])
def test_an_interrupted_sweep_goes_on_to_the_same_end(tmp_path, capsys, short, broken_off):
    chosen = [*GRID[:2], "--alpha", "0.2,0.1,1,0.5,0", *GRID[4:], "--early-stop"]
    assert run(tmp_path / "whole", *chosen) == 0

    def interrupt(number):
        if number == broken_off:
            raise KeyboardInterrupt

    fake_harness.trainings, fake_harness.on_train = 0, interrupt
    assert run(tmp_path / "broken", *chosen) == 130
    assert "the same command continues" in capsys.readouterr().out
    fake_harness.on_train = None
    assert run(tmp_path / "broken", *chosen) == 0
    assert outcomes(tmp_path / "broken") == outcomes(tmp_path / "whole")


def test_processes_find_the_same_as_one_alone(tmp_path):
    chosen = [*GRID[:2], "--alpha", "0.2,1,0.1,0.5,0,0.9", *GRID[4:6], "--seeds", "2", "--early-stop"]
    assert run(tmp_path / "alone", *chosen) == 0
    assert run(tmp_path / "beside", *chosen, "--keep-students", workers=3) == 0
    assert outcomes(tmp_path / "beside") == outcomes(tmp_path / "alone")
    assert {"ok", "pruned"} == set(statuses(tmp_path / "beside").values())
    kept = {r.key: r.artifacts for r in Store(tmp_path / "beside").records() if r.cell["method"] == "abkd"}
    finished = {r.key for r in Store(tmp_path / "beside").records(status="ok") if r.cell["method"] == "abkd"}
    assert {key for key, files in kept.items() if "student" in files} == finished
    assert all((tmp_path / "beside" / files["student"]).is_file() for files in kept.values() if files)


# Where the tests run in the background of a shell, SIGINT is ignored, and so it would be by what they start.
COMMAND = """
import signal, sys, backends, fake_harness
from suites.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
backends.load = lambda name: fake_harness
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_keeps_what_is_finished_and_leaves_no_process(tmp_path, sent):
    paths = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    surroundings = os.environ | {"PYTHONPATH": paths, "ABKD_TEST_PAUSE": "0.05"}
    chosen = [*GRID, "--early-stop", "--workers", "2", "--no-mlflow", "--store", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "sweep", *chosen], stdout=subprocess.PIPE, text=True, env=surroundings
    )
    for line in process.stdout:
        if line.startswith("[2/9]"):
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(sent)
    printed = process.stdout.read()
    assert process.wait(timeout=30) == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    assert len(children) >= 3 and not psutil.wait_procs(children, timeout=15)[1]  # two workers and the judge
    finished = Store(tmp_path).records()
    assert 2 <= len(finished) < 9 and {record.status for record in finished} <= {"ok", "pruned"}
    assert sent == signal.SIGKILL or "the same command continues" in printed


def test_a_failing_cell_is_recorded_and_the_others_run(tmp_path, short):
    def fail(number):
        if number == 3:
            raise ArithmeticError("the loss fell off")

    fake_harness.on_train = fail
    assert run(tmp_path, *GRID, "--early-stop") == 1
    (failed,) = (alpha for alpha, status in statuses(tmp_path).items() if status == "failed")
    assert len(statuses(tmp_path)) == 4 and statuses(tmp_path, seed=1)[failed] == "ok"
    fake_harness.on_train = None
    assert run(tmp_path, *GRID, "--early-stop") == 0 and statuses(tmp_path)[failed] == "ok"


def test_verdicts_depend_on_the_plan_and_not_on_who_comes_first():
    def verdicts(accuracies, shuffled):
        names = [f"cell {index}" for index in range(len(accuracies))]
        judge, found, lock = Judge(Rules([(20, names)], 2)), {}, threading.Lock()

        def train(name, accuracy):
            stop = Wait(judge, name)
            for epoch in range(1, 21):
                if stop(epoch, accuracy + epoch / 1000):
                    break
            with lock:
                found[name] = epoch
            judge.end(name)

        threads = [threading.Thread(target=train, args=pair) for pair in zip(names, accuracies, strict=True)]
        for thread in shuffled(threads):
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        return found

    accuracies = [0.5, 0.7, 0.6, 0.65, 0.8, 0.1, 0.72, 0.71]
    wanted = verdicts(accuracies, lambda threads: threads)
    assert set(wanted.values()) == {5, 10, 20}
    for seed in range(3):
        assert verdicts(accuracies, lambda threads, s=seed: random.Random(s).sample(threads, len(threads))) == wanted


def test_who_waits_too_long_for_one_that_is_gone_decides_without_it():
    judge = Judge(Rules([(20, ["gone", "here"])], 2))
    assert judge.ask("here", 5, 0.5) is None
    assert Wait(judge, "here", patience=0.1)(5, 0.5) is False
    assert Wait(judge, "gone")(5, 0.4) is True


@pytest.mark.parametrize(("epochs", "factor", "wanted"), [(20, 2, [5, 10]), (240, 3, [26, 78]), (2, 2, [1]), (1, 2, [])])
def test_rungs_lie_before_the_last_epoch(epochs, factor, wanted):
    assert rungs(epochs, factor) == wanted


def test_a_sweep_notes_its_records(tmp_path, short):
    assert run(tmp_path, *GRID) == 0
    (name,) = sweep_notes.names(Store(tmp_path))
    noted = sweep_notes.read(Store(tmp_path), name)
    assert sorted(noted["keys"]) == sorted(record.key for record in Store(tmp_path).records())
    assert {record.invocation for record in Store(tmp_path).records()} == {name}


def test_numbers_of_a_training_are_searched_too(tmp_path, short, capsys):
    rates = [
        "--backend",
        "torch",
        "--set",
        "learning_rate=0.1,0.2",
        "epochs=2,4",
        "--alpha",
        "1",
        "--beta",
        "0.2",
        "--seeds",
        "1",
    ]
    assert run(tmp_path, *rates, "--early-stop") == 0
    printed = capsys.readouterr().out
    assert "grid of 4 settings" in printed and "learning rate: 0.1, 0.2" in printed and "epochs: 2, 4" in printed
    assert {r.details["recipe"]["epochs"] for r in Store(tmp_path).records() if r.cell["method"] == "abkd"} == {2, 4}
    drawn = ["--sampler", "random", "--trials", "3", "--set", "learning_rate=0.01:0.1", "--seeds", "1", "--plan"]
    assert run(tmp_path, "--backend", "torch", *drawn) == 0
    assert "learning rate: 3 values from 0.01 to 0.1" in capsys.readouterr().out
