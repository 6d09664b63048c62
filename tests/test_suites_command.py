"""The command line of the suites: bad input, the plan, resuming, interruption and failure, with a backend of NumPy."""

import io
import json
from dataclasses import replace

import fake_harness
import numpy as np
import pytest
from safetensors.numpy import load_file

import backends
from results.records import environment, step_losses
from results.records.store import Store
from suites import __main__ as command
from suites import keys, sources
from suites.cell import Cell
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.running import progress

SMALL = ["distill", "--backend", "torch", "--method", "sft,kd", "--seeds", "2", "--no-mlflow"]


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)
    monkeypatch.setattr(fake_harness, "on_train", None)
    monkeypatch.setattr(fake_harness, "trainings", 0)
    digits = find.RECIPES["digits"]
    short = {"smoke": digits.students["smoke"] | {"epochs": Value(2)}}
    monkeypatch.setitem(find.RECIPES, "digits", replace(digits, students=short, teachers=short))


def run(store, *arguments):
    return command.main([*arguments, "--store", str(store)])


def results(store):
    """What decides the outcome of each record, without times and invocations."""
    return {
        record.key: (record.cell, record.status, {n: v for n, v in record.metrics.items() if n.startswith(("test/", "train/"))})
        for record in Store(store).records()
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["foo"], ["suite 'foo'", "agreement, loss, distill"]),
        (["sweeps"], ["suite 'sweeps'", "did you mean 'sweep'"]),
        (["--backend", "jaxx"], ["backend 'jaxx'", "torch, jax, tensorflow"]),
        (["distill", "--method", "abk"], ["method 'abk'", "did you mean 'abkd'", "sft, kd, rkld, abkd"]),
        (["distill", "--pair", "resnet57:resnet20"], ["resnet57", "digits-teacher"]),
        (["distill", "--pair", "digits-teacher"], ["teacher:student"]),
        (["--dataset", "dtd"], ["not built yet", "digits, cifar100"]),
        (["--dataset", "digits", "--scale", "small"], ["scale 'small'", "'digits'", "smoke", "cifar100"]),
        (["distill", "--method", "kd", "--set", "gamma=0.2"], ["gamma 0.2", "kd"]),
        (["distill", "--set", "foo=1"], ["--set foo=1", "no method has", "temperature"]),
        (["--set", "gamma"], ["NAME=VALUE"]),
        (["--set", "gamma=x", "--method", "ttm"], ["--set gamma=x", "no number"]),
        (["--set", "epoch=3"], ["--set epoch=3", "did you mean 'epochs'", "batch_size", "'teacher.'"]),
        (["--set", "Teacher.Epoch=3"], ["did you mean 'teacher.epochs'"]),
        (["--set", "epochs=2.5"], ["--set epochs=2.5", "whole number of at least 1", "the recipe of 'digits' has"]),
        (["--set", "learning_rate=0.1,0"], ["--set learning_rate=0", "greater than 0"]),
        (["--set", "momentum=1"], ["--set momentum=1", "below 1"]),
        (["--set", "schedule=line"], ["--set schedule=line", "cosine, constant"]),
        (["--set", "schedule=steps"], ["milestones", "cosine, constant"]),
        (["--set", "milestones=3/2", "--dataset", "cifar100", "--scale", "paper"], ["milestones=3/2", "150/180/210"]),
        (["--set", "teacher.epochs=3", "--teacher-weights", "no-such-file"], ["teacher.epochs=3", "teacher-weights"]),
        (["throughput", "--set", "epochs=3"], ["--set epochs=3", "throughput", "distill"]),
        (["--teacher-weights", "no-such-file"], ["teacher_weights 'no-such-file'", "safetensors"]),
        (["--dataset", "mnist"], ["dataset 'mnist'", "digits"]),
        (["--scale", "huge"], ["scale 'huge'", "smoke"]),
        (["--dtype", "float8"], ["dtype 'float8'", "bfloat16"]),
        (["--alpha", "nan"], ["alpha=nan", "finite"]),
        (["--alpha", "x"], ["--alpha", "'x'"]),
        (["--temperature", "0"], ["temperature=0.0", "greater than 0"]),
        (["--seeds", "0"], ["seeds 0", "at least 1"]),
        (["--seeds", "20:10"], ["'20:10'", "10:20 for 10 to 19"]),
        (["--seeds", "ten"], ["'ten'", "write 10"]),
        (["--seeds=-2:3"], ["first seed -2", "at least 0"]),
        (["--seeds=--"], ["--seeds", "'--'"]),
        (["--seeds", "4294967296:4294967298"], ["4294967296:4294967298", "2**32"]),
        (["distill", "--temperature", "1e200"], ["temperature=1e+200", "its square"]),
        (["distill", "--method", "ABKDD"], ["did you mean 'abkd'"]),
        (["distill", "--method", "kd", "--alpha", "0.8"], ["alpha 0.8", "abkd"]),
        (["--threads", "0"], ["threads 0"]),
        (["--preset", "paper-gpt3"], ["preset 'paper-gpt3'", "did you mean 'paper-gpt2'", "article-classification"]),
        (["--preset", "paper-gpt2", "--alpha", "0.5"], ["preset 'paper-gpt2'", "--alpha"]),
        (["distill", "--method", "kd", "--preset", "paper-gpt2"], ["alpha 0.2", "abkd"]),
        (["distill", "--precision", "float16"], ["precision 'float16'", "float32, bfloat16"]),
        (["agreement", "--precision", "bfloat16"], ["precision ('bfloat16',)", "agreement", "distill"]),
        (["distill", "--repeats", "-1"], ["repeats -1", "0 or greater"]),
        (["distill", "--teacher-of", "jax"], ["teacher-of 'jax'", "digits-teacher", "nox -s jax -- distill --method sft"]),
        (["distill", "--teacher-of", "jaxx"], ["teacher-of 'jaxx'", "did you mean 'jax'"]),
        (["distill", "--teacher-of", "jax", "--dtype", "float32,float64"], ["several teachers", "one pair and dtype"]),
    ],
)
def test_bad_input_names_the_value_and_what_is_allowed(tmp_path, capsys, arguments, words):
    backend = [] if "--backend" in arguments else ["--backend", "torch"]
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, *backend, *arguments)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_a_store_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SystemExit) as stopped:
        run(file / "store", *SMALL)
    assert stopped.value.code == 2
    assert str(file / "store") in capsys.readouterr().err
    assert fake_harness.trainings == 0


def test_the_plan_counts_cells_and_runs_none(tmp_path, capsys):
    assert run(tmp_path, *SMALL, "--plan") == 0
    printed = capsys.readouterr().out
    assert fake_harness.trainings == 0
    last = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert last[1:5] == ["9", "0", "9", "0"]  # a teacher, four traces, two methods with two seeds


def test_seeds_are_a_number_or_a_range(tmp_path):
    assert run(tmp_path, *SMALL[:5], "--seeds", "10:12", "--no-mlflow") == 0
    students = [record.cell for record in Store(tmp_path).records() if record.cell["scale"] == "smoke"]
    assert sorted(cell["seed"] for cell in students if cell["method"] == "sft") == [10, 11]
    assert run(tmp_path, *SMALL[:5], "--seeds", "11", "--no-mlflow") == 0
    assert fake_harness.trainings == 1 + 4 + 2 * (2 + 10)  # a teacher and four traces; seed 10 was there


def test_every_cell_ends_in_a_record_and_is_not_run_again(tmp_path, capsys):
    assert run(tmp_path, *SMALL) == 0
    records = Store(tmp_path).records()
    assert {record.status for record in records} == {"ok"}
    students = [record for record in records if record.cell["method"] in ("sft", "kd") and record.cell["scale"] == "smoke"]
    assert len(students) == 4
    for record in students:
        names = {
            "test/accuracy",
            "test/nll",
            "test/ece",
            "test/teacher_agreement",
            "train/loss",
            "time/step_ms",
            "time/compile_s",
            "time/total_s",
            "memory/peak_mb",
        }
        assert names <= set(record.metrics)
        assert all(len(curve) == 2 for curve in record.curves.values())
        sample = record.details["logits"]  # for the analysis of a finished run
        assert np.shape(sample["student"]) == np.shape(sample["teacher"]) == (32, 10)
    done = fake_harness.trainings
    assert run(tmp_path, *SMALL) == 0
    assert fake_harness.trainings == done
    assert "nothing to run" in capsys.readouterr().out


def test_lists_multiply_and_apply_to_the_methods_that_have_them(tmp_path, capsys):
    options = ["--method", "kd,abkd", "--alpha", "0.5,0.8", "--beta", "0.2", "--temperature", "1,4", "--seeds", "1", "--plan"]
    assert run(tmp_path, "distill", "--backend", "torch", *options) == 0
    printed = capsys.readouterr().out
    last = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert int(last[1]) == 1 + 4 + 2 + 4


def test_presets_are_points_and_not_a_product(tmp_path, capsys):
    names = "paper-gpt2,article-action,paper-cifar-resnet56-resnet20"
    options = ["--method", "abkd", "--preset", names, "--seeds", "1", "--plan"]
    assert run(tmp_path, "distill", "--backend", "torch", *options) == 0
    printed = capsys.readouterr().out
    assert all(f"abkd ({point})" in printed for point in ("0.2, 0.7", "0.8, 0.2", "0.8, 0.3"))
    last = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert int(last[1]) == 1 + 2 + 3
    assert run(tmp_path, "loss", "--backend", "torch", "--preset", "article-action", "--plan") == 0
    assert "(0.8, 0.2)" in capsys.readouterr().out


def test_an_interrupted_command_continues_and_ends_with_the_same_records(tmp_path, capsys):
    def interrupt(number):
        if number == 5:
            raise KeyboardInterrupt

    fake_harness.on_train = interrupt
    assert run(tmp_path / "broken", *SMALL) == 130
    printed = capsys.readouterr().out
    assert "the same command continues" in printed
    assert len(Store(tmp_path / "broken").records()) == 4
    fake_harness.on_train = None
    assert run(tmp_path / "broken", *SMALL) == 0
    assert fake_harness.trainings == 5 + 5
    assert run(tmp_path / "whole", *SMALL) == 0
    assert results(tmp_path / "broken") == results(tmp_path / "whole")


def test_a_failing_cell_is_recorded_the_others_run_and_it_is_tried_again(tmp_path, capsys):
    def fail(number):
        if number == 7:
            raise ArithmeticError("the loss fell off")

    fake_harness.on_train = fail
    assert run(tmp_path, *SMALL) == 1
    records = Store(tmp_path).records()
    failed = [record for record in records if record.status == "failed"]
    assert len(records) == 9 and len(failed) == 1
    assert "the loss fell off" in failed[0].message
    assert "the loss fell off" in capsys.readouterr().out
    fake_harness.on_train = None
    assert run(tmp_path, *SMALL) == 0
    assert {record.status for record in Store(tmp_path).records()} == {"ok"}
    assert fake_harness.trainings == 9 + 1


def test_students_of_a_teacher_that_failed_say_so(tmp_path):
    def fail(number):
        if number == 1:
            raise ArithmeticError("no teacher")

    fake_harness.on_train = fail
    assert run(tmp_path, *SMALL) == 1
    statuses = [record.status for record in Store(tmp_path).records()]
    assert statuses.count("failed") == 1
    assert statuses.count("missing-weights") == 4


def test_a_type_that_nothing_trains_in_is_unsupported_and_recorded(tmp_path, capsys):
    assert run(tmp_path, *SMALL, "--dtype", "float16") == 0
    assert "cannot run" in capsys.readouterr().out
    statuses = [record.status for record in Store(tmp_path).records() if record.cell["dtype"] == "float16"]
    assert statuses and set(statuses) == {"unsupported"}


def test_traces_hold_losses_logits_and_statistics(tmp_path):
    run(tmp_path, *SMALL)
    traces = [record for record in Store(tmp_path).records() if record.cell["scale"] == "trace"]
    assert {(record.cell["method"], record.cell["dtype"]) for record in traces} == {
        (method, dtype) for method in ("sft", "kd") for dtype in ("float32", "float64")
    }
    for record in traces:
        trace = json.loads(record.to_json())["details"]["trace"]
        assert len(trace["losses"]) == 20 if record.status == "ok" else True
        assert len(trace["logits"]) == 16 and len(trace["logits"][0]) == 10
        assert "stages.0.bn.running_mean" in trace["statistics"]


def test_students_are_kept_when_asked_for_and_trained_again_where_they_were_not(tmp_path, capsys):
    assert run(tmp_path, *SMALL) == 0
    trained = fake_harness.trainings
    assert not list(tmp_path.rglob("student.safetensors"))
    assert run(tmp_path, *SMALL, "--keep-students") == 0
    assert fake_harness.trainings == trained + 4  # the students, neither teacher nor traces
    students = [record for record in Store(tmp_path).records() if record.artifacts]
    assert {(r.cell["method"], r.cell["seed"]) for r in students} == {(m, s) for m in ("sft", "kd") for s in range(2)}
    weights = load_file(tmp_path / students[0].artifacts["student"])
    assert weights["linear.bias"].shape == (10,)
    assert run(tmp_path, *SMALL, "--keep-students") == 0 and run(tmp_path, *SMALL) == 0
    assert fake_harness.trainings == trained + 4
    (tmp_path / students[0].artifacts["student"]).unlink()
    assert run(tmp_path, *SMALL, "--keep-students") == 0 and fake_harness.trainings == trained + 5


def test_records_say_how_busy_the_machine_was_and_keys_do_not_depend_on_it(tmp_path, monkeypatch):
    loads = iter(range(1000))
    monkeypatch.setattr(environment, "state", lambda: {"now.load": next(loads)})
    assert run(tmp_path, *SMALL) == 0
    records = Store(tmp_path).records()
    assert len({record.environment["now.load"] for record in records}) == len(records)
    assert all(record.details["system"]["system/process_memory_megabytes"][0] > 1 for record in records)
    assert run(tmp_path, *SMALL) == 0 and len(Store(tmp_path).records()) == len(records)
    first = keys.timing_key("key", {}, {"cpu": "a", "now.load": 1})
    assert first == keys.timing_key("key", {}, {"cpu": "a", "now.load": 2}) != keys.timing_key("key", {}, {"cpu": "b"})


def students(store, **fields):
    found = [r for r in Store(store).records() if r.cell["method"] in ("sft", "kd") and r.cell["scale"] == "smoke"]
    return [r for r in found if all(r.cell.get(name) == value for name, value in fields.items())]


def test_the_usual_precision_is_the_same_cell_as_before_there_was_a_choice(tmp_path):
    assert {"precision", "repeat"}.isdisjoint(Cell("distill", "torch").as_dict())
    assert run(tmp_path, *SMALL) == 0
    done = fake_harness.trainings
    assert run(tmp_path, *SMALL, "--precision", "float32") == 0 and fake_harness.trainings == done


def test_precisions_and_repeats_multiply_students_and_leave_the_teacher_alone(tmp_path, capsys):
    options = ["--precision", "float32,bfloat16", "--repeats", "1"]
    assert run(tmp_path, *SMALL, *options) == 0
    assert "distill digits-teacher:digits-student kd bfloat16 seed 1 repeat 1: ok" in capsys.readouterr().out
    records = Store(tmp_path).records()
    assert len(records) == 9 + 12 and sum(r.cell["method"] == "teacher" for r in records) == 1
    assert len({record.key for record in records}) == len(records)
    for precision, repeat in ((None, None), (None, 1), ("bfloat16", None), ("bfloat16", 1)):
        assert len(students(tmp_path, precision=precision, repeat=repeat)) == 4
    assert all("precision" not in r.cell and "repeat" not in r.cell for r in records if r.cell["scale"] == "trace")


def test_a_precision_beside_another_type_is_unsupported(tmp_path, capsys):
    assert run(tmp_path, *SMALL, "--precision", "bfloat16", "--dtype", "float64", "--plan") == 0
    assert "precision bfloat16 is for networks of float32, not of float64" in capsys.readouterr().out


def test_repeats_differ_by_rounding_only_and_step_losses_are_kept(tmp_path):
    assert run(tmp_path, *SMALL, "--repeats", "1") == 0
    for seed in range(2):
        first, again = (students(tmp_path, method="kd", seed=seed, repeat=repeat)[0] for repeat in (None, 1))
        steps, losses = step_losses.read(first.details)
        assert len(steps) == first.details["steps"] == 28 and np.isfinite(losses).all()
        differences = np.abs(losses / step_losses.read(again.details)[1] - 1)
        assert 0 < differences.max() < 1e-9  # this backend computes in float64


def test_students_may_learn_from_the_teacher_of_another_backend(tmp_path, monkeypatch):
    assert run(tmp_path, *SMALL) == 0
    (teacher,) = [r for r in Store(tmp_path).records() if r.cell["method"] == "teacher"]
    monkeypatch.setattr(fake_harness, "NAME", "jax")
    options = ["distill", "--backend", "jax", *SMALL[3:], "--teacher-of", "torch"]
    assert run(tmp_path, *options) == 0
    found = [r for r in students(tmp_path) if r.backend == "jax"]
    assert len(found) == 4 and all(r.cell["teacher_weights"].startswith(teacher.key) for r in found)
    assert {r.metrics["test/teacher_agreement"] for r in found} == {
        r.metrics["test/teacher_agreement"] for r in students(tmp_path) if r.backend == "torch"
    }
    done = fake_harness.trainings
    assert run(tmp_path, *options) == 0 and fake_harness.trainings == done


def test_a_long_cell_says_how_much_time_it_still_takes(monkeypatch):
    now, output = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = progress.Progress(2, output)
    shown.begin("distill kd seed 0")
    # goes on from 40 %, at one percent a second
    for second in range(31):
        now[0] = 100.0 + second
        shown.share(0.4 + second / 100)
    lines = output.getvalue().splitlines()
    assert lines[0] == "distill kd seed 0: 40% done"  # the first word comes before there is a pace
    assert lines[1:] == [f"distill kd seed 0: {share}% done, about {100 - share} s left of this cell" for share in (50, 60, 70)]


@pytest.fixture
def other_code(monkeypatch):
    """Call it, and a file that computes results is another one from then on."""
    code = sources.code

    def change(name="backends/torch/losses/rows.py"):
        monkeypatch.setattr(sources, "code", lambda *arguments: code(*arguments) | {name: "another digest"})

    return change


def test_the_plan_says_why_finished_cells_no_longer_count(tmp_path, capsys, other_code):
    assert run(tmp_path, *SMALL) == 0
    record = Store(tmp_path).records()[0]
    assert record.details["decided"]["code"]["backends/torch/losses/rows.py"]
    other_code()
    assert run(tmp_path, *SMALL, "--plan") == 0
    printed = capsys.readouterr().out
    assert "teacher and 8 more: finished by other code: backends/torch/losses/rows.py changed" in printed
    for record in Store(tmp_path).records():
        del record.details["decided"]
        Store(tmp_path).write(record)
    assert run(tmp_path, *SMALL, "--plan") == 0
    assert "teacher and 8 more: finished by an earlier version" in capsys.readouterr().out


def test_finished_cells_of_other_code_count_for_those_who_accept_it(tmp_path, capsys, other_code):
    assert run(tmp_path, *SMALL) == 0
    done, before = fake_harness.trainings, results(tmp_path)
    other_code()
    assert run(tmp_path, *SMALL, "--accept-other-code") == 0
    assert fake_harness.trainings == done and results(tmp_path) == before
    assert "nothing to run; 9 were finished before" in capsys.readouterr().out
    # more students learn from the teacher that there is
    assert run(tmp_path, *SMALL[:5], "--seeds", "2:3", "--no-mlflow", "--accept-other-code") == 0
    assert fake_harness.trainings == done + 2 and {r.status for r in Store(tmp_path).records()} == {"ok"}
    # another recipe is not other code
    digits = find.RECIPES["digits"]
    with pytest.MonkeyPatch.context() as patch:
        longer = {"smoke": digits.students["smoke"] | {"epochs": Value(3)}}
        patch.setitem(find.RECIPES, "digits", replace(digits, students=longer))
        assert run(tmp_path, *SMALL, "--accept-other-code", "--plan") == 0
    assert "finished with another recipe, other data or settings" in capsys.readouterr().out
    assert run(tmp_path, *SMALL) == 0 and fake_harness.trainings == done + 2 + 9
