"""Several commands on one store share its cells: each is trained once, whoever is killed, and the records are those of one."""

import contextlib
import multiprocessing
import os
import random
import signal
import time

import pytest
from test_suites_command import SMALL, numpy_backend, results, run  # noqa: F401 (a fixture)

from results.records.claims import Claims
from results.records.store import Store

FORK = multiprocessing.get_context("fork")
MANY = [*SMALL[:5], "--seeds", "18", "--no-mlflow"]  # a teacher, four traces, thirty-six students
SWEEP = ["sweep", "--backend", "torch", "--method", "abkd", "--alpha", "0.1,0.3,0.5,0.8", "--beta", "0.2", "--seeds", "2"]
SWEEP += ["--workers", "1", "--no-mlflow"]


def started(store, *arguments, printed=os.devnull):
    """A command in a process of its own, its output in a file."""

    def command():
        with open(printed, "w") as output, contextlib.redirect_stdout(output):
            status = run(store, *arguments)
        os._exit(status)

    process = FORK.Process(target=command)
    process.start()
    return process


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """How many trainings have begun, in whichever process."""
    folder, trained = tmp_path / "starts", tmp_path / "trained"
    folder.mkdir()
    trained.mkdir()
    monkeypatch.setenv("ABKD_TEST_TRAINED", str(trained))
    monkeypatch.setenv("ABKD_TEST_STARTS", str(folder))
    return lambda: len(list(folder.iterdir()))


@pytest.mark.parametrize("commands", [2, 3])
def test_commands_at_once_train_every_cell_once(tmp_path, starts, commands):
    processes = [started(tmp_path / "shared", *MANY) for _ in range(commands)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * commands
    assert starts() == 41
    assert run(tmp_path / "alone", *MANY) == 0
    assert results(tmp_path / "shared") == results(tmp_path / "alone")
    assert not list((tmp_path / "shared" / "claims").rglob("*.*"))
    runs = {record.invocation for record in Store(tmp_path / "shared").records()}
    assert len(runs) > 1  # they did share


def test_commands_that_are_killed_at_random_train_every_cell_once_but_for_the_kills(tmp_path, starts):
    chance, kills, deadline = random.Random(0), 0, time.monotonic() + 120
    processes = [started(tmp_path / "shared", *MANY) for _ in range(3)]
    while processes:
        assert time.monotonic() < deadline
        if kills < 12:
            time.sleep(chance.uniform(0.02, 0.2))
            number = chance.randrange(len(processes))
            if processes[number].is_alive():
                processes[number].kill()
                processes[number].join()
                kills += 1
                processes[number] = started(tmp_path / "shared", *MANY)
        for process in [process for process in processes if not process.is_alive()]:
            assert process.exitcode == 0
            processes.remove(process)
        time.sleep(0.01)
    assert kills >= 3 and 41 <= starts() <= 41 + kills
    assert run(tmp_path / "alone", *MANY) == 0
    assert results(tmp_path / "shared") == results(tmp_path / "alone")


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_command_waits_for_a_teacher_that_another_trains_says_so_and_goes_on_with_other_cells_first(tmp_path, starts):
    assert run(tmp_path / "alone", *SMALL) == 0
    (teacher,) = [record.key for record in Store(tmp_path / "alone").records() if record.cell["method"] == "teacher"]
    other, printed = Claims(tmp_path / "shared"), tmp_path / "printed"
    assert other.take("distill", teacher)
    command = started(tmp_path / "shared", *SMALL, printed=printed)
    wait_for(lambda: printed.exists() and "waiting for" in printed.read_text())
    assert f"digits-teacher teacher and up to 4 more, which process {os.getpid()} on" in printed.read_text()
    assert starts() == 9 + 4 and command.is_alive()  # the traces need no teacher
    other.release("distill", teacher)
    command.join(60)
    assert command.exitcode == 0 and starts() == 9 + 9
    assert results(tmp_path / "shared") == results(tmp_path / "alone")


def test_the_claim_of_a_dead_command_is_taken_over(tmp_path, starts, monkeypatch):
    monkeypatch.setenv("ABKD_TEST_PAUSE", "60")
    dead = started(tmp_path / "shared", *SMALL)
    wait_for(starts)
    os.kill(dead.pid, signal.SIGKILL)
    dead.join()
    assert list((tmp_path / "shared" / "claims").rglob("*.lock"))
    monkeypatch.setenv("ABKD_TEST_PAUSE", "0")
    assert run(tmp_path / "shared", *SMALL) == 0 and starts() == 10


def test_a_claim_names_its_holder_and_is_of_one_command_at_a_time(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take("distill", "key") and first.take("distill", "key") and not second.take("distill", "key")
    assert f"process {os.getpid()} on " in second.holder("distill", "key")
    (tmp_path / "claims" / "distill" / "key.json").write_text("[")
    assert second.holder("distill", "key") == "another process"
    first.release("distill", "key")
    assert second.take("distill", "key") and not first.take("distill", "key")
    second.release_all()
    assert not list(tmp_path.rglob("key.*"))


def test_two_sweeps_with_early_stopping_end_as_one(tmp_path, starts):
    stops = [*SWEEP, "--early-stop", "2"]
    processes = [started(tmp_path / "shared", *stops) for _ in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    together = starts()
    assert run(tmp_path / "alone", *stops) == 0
    assert starts() == 2 * together and results(tmp_path / "shared") == results(tmp_path / "alone")


def test_a_sweep_and_a_suite_share_their_cells(tmp_path, starts):
    suite = ["distill", *SWEEP[1:-3], "--no-mlflow"]
    processes = [started(tmp_path / "shared", *words) for words in (SWEEP, suite)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert starts() == 1 + 8 + 2  # the teacher, the students, the suite's traces


def test_cells_side_by_side_are_shared_too(tmp_path):
    words = ["agreement", "--backend", "torch", "--dtype", "float32", "--no-mlflow"]
    printed = [tmp_path / "first", tmp_path / "second"]
    processes = [started(tmp_path / "shared", *words, printed=path) for path in printed]
    for process in processes:
        process.join(240)
    ends = [line for path in printed for line in path.read_text().splitlines() if line.startswith("[") and ": ok" in line]
    run_here = [line for line in ends if "by another command" not in line]
    cells = len(Store(tmp_path / "shared").records())
    assert len(run_here) == cells and len(ends) == 2 * cells


def test_redo_runs_finished_cells_again_and_ends_with_the_same_figures(tmp_path, starts):
    assert run(tmp_path / "shared", *SMALL) == 0
    before, times = results(tmp_path / "shared"), {r.key: r.finished for r in Store(tmp_path / "shared").records()}
    assert run(tmp_path / "shared", *SMALL, "--redo") == 0
    assert starts() == 18 and results(tmp_path / "shared") == before
    assert all(record.finished > times[record.key] for record in Store(tmp_path / "shared").records())


def test_two_commands_that_redo_train_each_cell_once(tmp_path, starts):
    assert run(tmp_path / "shared", *MANY) == 0
    processes = [started(tmp_path / "shared", *MANY, "--redo") for _ in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0] and starts() == 2 * 41
