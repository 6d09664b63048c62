"""Study files and the words of the command line: order, groups of help, lists, what does not fit, messages."""

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import fake_harness
import pytest

import backends
from results.records.store import Store
from suites import __main__ as command
from suites import arguments, studies
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value

CLONE = Path(__file__).resolve().parent.parent
STUDY = """
backend = "torch"
seeds = 1
no-mlflow = true

[[selection]]
suites = ["distill"]
method = ["sft", "kd"]
set = { epochs = 1, teacher.epochs = 2 }

[[selection]]
suites = ["sweep"]
alpha = [0.5, 1]
beta = 0.2
seeds = "1:2"
workers = 1
"""


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)
    monkeypatch.setattr(fake_harness, "trainings", 0)
    digits = find.RECIPES["digits"]
    short = {"smoke": digits.students["smoke"] | {"epochs": Value(2)}}
    monkeypatch.setitem(find.RECIPES, "digits", replace(digits, students=short, teachers=short))


def selections(*typed):
    """What the words select, with the options that a study has."""
    parser = arguments.build_parser()
    found = []
    for part in arguments.parts(parser, typed):
        options = parser.parse_args(part.words)
        found.append((arguments.select(options), options.threads, options.keep_students, options.workers, options.device))
    return found


@pytest.mark.parametrize(
    "typed",
    [
        ["distill", "--method", "abkd,kd", "--alpha=-0.5,0.8", "--beta", "0.2", "--seeds", "3"],
        ["distill", "--method", "kd", "--set", "learning_rate=0.1,5e-2", "epochs=10", "teacher.epochs=50"],
        ["sweep", "--sampler", "random", "--trials", "4", "--alpha", "0.1:0.7", "--set", "gamma=0.1:1", "--method", "abttm"],
        ["sweep", "--alpha", "0,1", "--early-stop", "--workers", "2", "--threads", "1"],
        ["agreement", "loss", "--dtype", "float32,bfloat16"],
        [
            "distill",
            "--pair",
            "resnet56:resnet20",
            "--scale",
            "small",
            "--seeds",
            "10:12",
            "--keep-students",
            "--device",
            "cpu",
        ],
        ["distill", "--preset", "article-action,paper-gpt2", "--method", "abkd", "--repeats", "2", "--set", "warm-up-steps=3"],
        [],
    ],
)
def test_the_study_of_a_command_selects_the_same(tmp_path, typed):
    typed = ["--backend", "torch", *typed]
    parser = arguments.build_parser()
    words = [part.words for part in arguments.parts(parser, typed)]
    studies.write(tmp_path / "study.toml", words, "torch", [])
    tomllib.loads((tmp_path / "study.toml").read_text())
    assert selections("--study", str(tmp_path / "study.toml")) == selections(*typed)


def test_paths_of_a_study_are_seen_from_its_folder(tmp_path):
    plugin, weights = tmp_path / "mine.py", tmp_path / "a, b" / 'te"\\acher.safetensors'
    words = [f"--plugin={plugin}", f"--teacher-weights={weights}"]
    studies.write(tmp_path / "study.toml", [words], "torch", [plugin])
    entries = tomllib.loads((tmp_path / "study.toml").read_text())
    assert entries["plugin"] == ["mine.py"] and entries["teacher-weights"] == weights.relative_to(tmp_path).as_posix()
    (part,) = studies.read(tmp_path / "study.toml", arguments.build_parser())
    assert set(words) < set(part.words)


def test_a_study_runs_its_selections_and_writes_itself_again(tmp_path, capsys):
    study, again = tmp_path / "study.toml", tmp_path / "again.toml"
    study.write_text(STUDY)
    place = ["--store", str(tmp_path / "store")]
    assert command.main(["--study", str(study), *place, "--write-study", str(again), "--plan"]) == 0
    assert "Selection 2 of 2" in capsys.readouterr().out and fake_harness.trainings == 0
    assert selections("--study", str(again)) == selections("--study", str(study))
    assert command.main(["--study", str(again), "--no-mlflow", *place]) == 0
    cells = [record.cell for record in Store(tmp_path / "store").records() if record.cell["scale"] == "smoke"]
    assert len([cell for cell in cells if cell["method"] == "teacher"]) == 1  # two epochs are the recipe's own
    assert {(c["method"], c["seed"], c.get("alpha"), c.get("epochs")) for c in cells if c["method"] != "teacher"} == {
        ("sft", 0, None, 1),
        ("kd", 0, None, 1),
        ("abkd", 1, 0.5, None),
        ("abkd", 1, 1.0, None),
    }
    done = fake_harness.trainings
    assert command.main(["--study", str(study), *place]) == 0 and fake_harness.trainings == done
    assert command.main(["--study", str(study), *place, "--redo"]) == 0 and fake_harness.trainings == 2 * done
    # what is typed beside it counts for all selections
    assert command.main(["--study", str(study), *place, "--seeds", "5:6", "--plan"]) == 0
    assert "3 were finished" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["is not there"]),
        ("method = [", ["is no TOML"]),
        ('metod = "kd"', ["entry 'metod'", "did you mean 'method'"]),
        ('study = "x.toml"', ["entry 'study' is not known"]),
        ("method = { kd = 1 }", ["method is {'kd': 1}", "a number, a word or a list"]),
        ('keep-students = "yes"', ["keep-students is 'yes'", "true or false"]),
        ("alpha = true", ["alpha is True"]),
        ("set = 3", ["set is 3", "a table"]),
        ("selection = 3", ["[[selection]]"]),
        ('plugin = "mine.py"', ["study.toml: plugin", "mine.py is not there"]),
        ('[[selection]]\nmethod = "abk"', ["selection 1: method 'abk'", "did you mean 'abkd'"]),
        ('[[selection]]\n[[selection]]\nalpha = ["x"]', ["selection 2: argument --alpha", "'x'"]),
        ("[[selection]]\n[[selection]]\nset.epochs = 0", ["selection 2: --set epochs=0", "at least 1"]),
        ('[[selection]]\n[[selection]]\nstore = "elsewhere"', ["selection 2: store 'elsewhere'", "above the selections"]),
        ('[[selection]]\n[[selection]]\nscale = "small"\ndataset = "cifar100"', ["threads", "above the selections"]),
    ],
)
def test_a_study_that_cannot_be_used_names_file_and_entry(tmp_path, capsys, content, words):
    study = tmp_path / "study.toml"
    if content is not None:
        study.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        command.main(["--backend", "torch", "--study", str(study), "--plan"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and all(word in said for word in words), said
    assert "above the selections" in words or str(study) in said


def test_a_study_has_its_own_suites(tmp_path, capsys):
    (tmp_path / "study.toml").write_text('suites = ["loss"]')
    with pytest.raises(SystemExit):
        command.main(["agreement", "--backend", "torch", "--study", str(tmp_path / "study.toml")])
    assert "suite 'agreement' beside --study" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed",
    [
        ["--alpha", "-0.5,0", "--beta", "0.2", "sweep", "--seeds", "2"],
        ["--seeds", "2", "--beta=0.2", "--alpha=-0.5,0", "sweep"],
        ["--set", "gamma=0.2", "epochs=3", "distill", "--method", "ttm"],
        ["--early-stop", "sweep", "--alpha", "0,1"],
        ["--method", "kd", "distill", "--seeds", "1", "agreement"],
    ],
)
def test_suites_and_options_stand_in_any_order(typed):
    names = [word for word in typed if word in arguments.SUITE_NAMES]
    rest = [word for word in typed if word not in names]
    assert selections("--backend", "torch", *typed) == selections(*names, "--backend", "torch", *rest)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["agreement", "--alpha", "0.5"], ["--alpha fits none", "agreement", "loss, distill, sweep"]),
        (["loss", "--method", "kd"], ["--method fits none", "loss", "distill"]),
        (["agreement", "loss", "--seeds", "3"], ["--seeds fits none", "agreement, loss"]),
        (["throughput", "--keep-students"], ["--keep-students fits none", "throughput"]),
        (["loss", "--set", "gamma=0.2"], ["--set", "loss"]),
        (["--Alpha", "0.5"], ["'--Alpha' is not known", "did you mean --alpha"]),
        (["--preset", "Paper-GPT2-"], ["did you mean 'paper-gpt2'"]),
        (["--list", "method"], ["methods"]),
        (["--method", "x" * 5000], ["xxx… (5,002 letters)"]),
        (["--method", "x y" * 5000], ["…"]),
        (["--write-study", "/dev/null/study.toml", "--plan", "distill"], ["write-study '/dev/null/study.toml'"]),
    ],
)
def test_what_does_not_fit_is_refused_in_one_short_sentence(tmp_path, capsys, typed, words):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--backend", "torch", *typed, "--store", str(tmp_path)])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and all(word in said for word in words), said
    assert len(said) < 5000


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("methods", ["abkd", "alpha, beta, temperature, distill_weight, hard_weight", "Hinton"]),
        ("presets", ["paper-gpt2", "0.2", "0.7"]),
        ("datasets", ["digits", "smoke", "there", "imagenet", "not built yet"]),
        ("models", ["resnet", "digits-student", "convnet-4-8"]),
        ("metrics", ["test/accuracy", "higher"]),
    ],
)
def test_a_list_is_a_table_and_runs_nothing(capsys, what, words):
    assert command.main(["--list", what]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in words), said
    assert "─" in said.splitlines()[1]


def test_help_has_groups_and_the_readmes_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(
        f"\n{group}:" in said for group in ("the command", "students", "teacher", "machine and store", "sweep", "examples")
    )
    readme = (CLONE / "README.md").read_text()
    shown = [line.strip().removeprefix("python -m suites ") for line in arguments.EXAMPLES.splitlines()[1:]]
    assert [line for line in shown if f"-- {line}" not in readme] == []
    assert all(line in said for line in shown)


def test_the_readmes_study_is_one(tmp_path):
    readme = (CLONE / "README.md").read_text()
    (tmp_path / "study.toml").write_text(re.search(r"```toml\n(.*?)```", readme, re.S)[1])
    assert len(selections("--backend", "torch", "--study", str(tmp_path / "study.toml"))) > 1


@pytest.mark.parametrize("module", ["suites", "suites.datasets"])
def test_without_the_harness_packages_a_command_ends_in_a_sentence(module):
    # -S: as if nothing were installed
    ended = subprocess.run(
        [sys.executable, "-S", "-m", module, "--help"], capture_output=True, text=True, check=False, env={}, cwd=CLONE
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
    assert "package 'numpy' is not installed" in ended.stderr and "nox -s" in ended.stderr
