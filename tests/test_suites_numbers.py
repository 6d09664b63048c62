"""Numbers of a training from the command line (`--set`), and plans of too many cells."""

import re
import time

import pytest
from test_suites_command import SMALL, numpy_backend, results, run, students  # noqa: F401  (a fixture among them)

from results.records.store import Store


@pytest.mark.parametrize(
    "arguments",
    [
        ["distill", "--seeds", "1000000000"],
        ["distill", "--repeats", "1000000000"],
        ["distill", "--alpha", ",".join(map(str, range(1000))), "--beta", ",".join(map(str, range(1000)))],
        ["loss", "--alpha", ",".join(map(str, range(1000))), "--beta", ",".join(map(str, range(1000)))],
        ["throughput", "--alpha", ",".join(map(str, range(1000))), "--beta", ",".join(map(str, range(1000)))],
        ["sweep", "--trials", "1000000000", "--sampler", "random", "--alpha", "0:1"],
        ["distill", "--set", "learning_rate=" + ",".join(map(str, range(1, 1000))), "momentum=0,0.1,0.2", "--seeds", "50"],
    ],
    ids=lambda arguments: arguments[0] + arguments[1],
)
def test_a_plan_of_too_many_cells_is_refused_before_they_are_made(tmp_path, capsys, arguments):
    started = time.process_time()
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, *arguments, "--backend", "torch")
    said = capsys.readouterr().err
    name = "learning_rate" if arguments[1] == "--set" else arguments[1].removeprefix("--")
    assert stopped.value.code == 2 and "at most 100,000" in said and re.search(rf"{name} \d", said), said
    assert time.process_time() - started < 2


def planned(capsys):
    """Cells of a printed plan: all, finished, to run, impossible."""
    last = next(line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["all"])
    return tuple(map(int, last[1:5]))


def test_numbers_of_a_training_multiply_and_are_in_record_key_and_plan(tmp_path, capsys):
    assert run(tmp_path, *SMALL) == 0
    before = {record.key: record for record in Store(tmp_path).records()}
    options = ["--set", "learning_rate=0.1,0.2", "epochs=1", "--set", "teacher.epochs=3"]
    capsys.readouterr()
    assert run(tmp_path, *SMALL, *options, "--plan") == 0
    said = capsys.readouterr().out
    assert "kd epochs=1 learning_rate=0.1 teacher.epochs=3" in said and "teacher epochs=3" in said
    assert "learning_rate=0.2" not in said  # the recipe's own is no change
    assert run(tmp_path, *SMALL, *options) == 0
    new = [record for record in Store(tmp_path).records() if record.key not in before]
    (teacher,) = [record for record in new if record.cell["method"] == "teacher"]
    assert teacher.cell["epochs"] == teacher.details["recipe"]["epochs"] == len(teacher.curves["train/loss"]) == 3
    assert teacher.details["sources"]["epochs"] == "command line"
    chosen = [record for record in new if record is not teacher]
    assert len(chosen) == 2 * 2 * 2 and all(record.details["recipe"]["epochs"] == 1 for record in chosen)
    assert {record.details["recipe"]["learning_rate"] for record in chosen} == {0.1, 0.2}
    for record in chosen:
        changed = {name for name, source in record.details["sources"].items() if source == "command line"}
        assert changed == {"epochs"} | ({"learning_rate"} if record.details["recipe"]["learning_rate"] == 0.1 else set())
    assert {key for key in before} <= {record.key for record in Store(tmp_path).records()}
    # what is as in the recipe is the cell that there was
    capsys.readouterr()
    assert run(tmp_path, *SMALL, "--set", "epochs=2", "learning_rate=0.2", "teacher.epochs=2", "--plan") == 0
    assert planned(capsys) == (9, 9, 0, 0)


def test_a_teacher_of_other_numbers_is_another_teacher_for_other_backends_too(tmp_path, capsys):
    assert run(tmp_path, *SMALL, "--set", "teacher.epochs=3") == 0
    (changed,) = [record for record in Store(tmp_path).records() if record.cell["method"] == "teacher"]
    with pytest.raises(SystemExit):
        run(tmp_path, *SMALL, "--teacher-of", "torch")
    assert "holds no weights" in capsys.readouterr().err
    assert run(tmp_path, *SMALL, "--teacher-of", "torch", "--set", "teacher.epochs=3") == 0
    assert {r.cell.get("teacher_weights", changed.key)[:32] for r in students(tmp_path)} == {changed.key}


def test_words_numbers_and_lists_of_epochs_are_numbers_of_a_training(tmp_path, capsys):
    options = [
        "--set",
        "milestones=3/5,4",
        "flip=false",
        "schedule=steps,constant",
        "--dataset",
        "cifar100",
        "--scale",
        "paper",
    ]
    assert run(tmp_path, "distill", "--backend", "torch", "--method", "kd", "--seeds", "1", *options, "--plan") in (0, 1)
    said = capsys.readouterr().out
    assert "kd flip=false milestones=3/5" in said and "kd flip=false milestones=4 schedule=constant" in said
