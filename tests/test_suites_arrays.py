"""What a user gives as data or as weights is looked at before anything runs: one sentence that names file and array."""

import os
from dataclasses import replace

import fake_harness
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import backends
from backends.common import networks
from results.records.store import Store
from suites import __main__ as command
from suites import datasets, sources
from suites.datasets.dataset import Dataset, DatasetError
from suites.datasets.images import ImageDataset, Normalisation, Split
from suites.distill.networks import specification
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value

FACTS = {"input_shape": (8, 8, 1), "classes": 3}
COMMAND = ["distill", "--backend", "torch", "--method", "kd", "--no-mlflow"]


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)
    monkeypatch.setattr(fake_harness, "trainings", 0)
    digits = find.RECIPES["digits"]
    short = {"smoke": digits.students["smoke"] | {"epochs": Value(1)}}
    monkeypatch.setitem(find.RECIPES, "digits", replace(digits, students=short, teachers=short))


def data(**changes):
    """A sound data set with other arrays in the place of its own: train_images, test_labels, ..."""
    arrays = {"images": np.full((6, 8, 8, 1), 200, np.uint8), "labels": np.arange(6) % 3}
    train, test = (
        Split(*(changes.get(f"{part}_{name}", array) for name, array in arrays.items())) for part in ("train", "test")
    )
    normalisation = changes.get("normalisation", Normalisation((0.5,), (0.5,)))
    return ImageDataset("mine", "made here", train, test, changes.get("class_names", ("a", "b", "c")), normalisation)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_images": [[0]]}, ["train.images are a list", "uint8 [images, 8, 8, 1]"]),
        ({"train_images": np.zeros((6, 8, 8, 1), np.float32)}, ["train.images are float32 [6, 8, 8, 1] from 0 to 0", "255"]),
        ({"test_images": np.full((6, 8, 8, 1), np.nan)}, ["test.images are float64", "384 NaN or inf"]),
        ({"test_images": np.full((6, 8, 8, 1), -3)}, ["test.images are int64", "from -3 to -3"]),
        ({"train_images": np.zeros((6, 8, 8), np.uint8)}, ["train.images are uint8 [6, 8, 8]", "[images, 8, 8, 1]"]),
        ({"train_images": np.zeros((6, 1, 8, 8), np.uint8)}, ["train.images are uint8 [6, 1, 8, 8]"]),
        ({"train_images": np.zeros((0, 8, 8, 1), np.uint8)}, ["train.images", "at least one image"]),
        ({"train_labels": np.array([0.0, 1, 2, 0, np.nan, 2])}, ["train.labels are float64 [6] with 1 NaN or inf", "0 to 2"]),
        ({"train_labels": np.array([True] * 6)}, ["train.labels are bool [6]"]),
        ({"test_labels": np.arange(5)}, ["test.labels are int64 [5]", "one for each of the 6 images"]),
        ({"test_labels": np.eye(6, dtype=int)}, ["test.labels are int64 [6, 6]"]),
        ({"test_labels": np.array([0, 1, 2, 3, 0, 1])}, ["test.labels[3] is 3", "0 to 2"]),
        ({"train_labels": np.array([0, 1, 2, -1, 0, 1])}, ["train.labels[3] is -1"]),
        ({"class_names": ("a", "b")}, ["class_names name 2 classes", "3 as its facts say"]),
        ({"normalisation": Normalisation((0.5,), (0.0,))}, ["normalisation is", "std above 0"]),
        ({"normalisation": Normalisation((0.5, 0.5), (1.0, 1.0))}, ["normalisation is", "1 channels"]),
        ({"normalisation": Normalisation((0.5,), (0.5,), 16)}, ["train.images hold pixels up to 200", "at most 16"]),
    ],
)
def test_an_array_that_is_not_what_it_should_be_is_named(changes, words):
    with pytest.raises(DatasetError) as caught:
        data(**changes).checked("data set 'mine' (mine.npz)", FACTS)
    said = str(caught.value)
    assert all(word in said for word in ["data set 'mine' (mine.npz)", *words]) and "\n" not in said, said


def test_sound_arrays_are_left_as_they_are_and_narrow_labels_widened():
    sound = data()
    assert sound.checked("x", FACTS) is sound
    narrow = data(train_labels=(np.arange(6) % 3).astype(np.uint8)).checked("x", FACTS)
    assert narrow.train.labels.dtype == np.int64 and np.array_equal(narrow.train.labels, sound.train.labels)
    assert narrow.digest == sound.digest


def plan(*arguments):
    return command.main([*COMMAND, "--seeds", "1", *arguments, "--plan"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no npz", ["cannot be loaded: "]),
        ({"train_images": np.zeros(3)}, ["cannot be loaded: KeyError", "test_images"]),
        ({"train_images": np.zeros(3, object)}, ["cannot be loaded: ValueError"]),
        ({"labels": np.array([0, 1, 2, 9])}, ["train.labels[3] is 9"]),
    ],
)
def test_a_plan_of_broken_data_names_the_file_and_exits_1(tmp_path, monkeypatch, capsys, content, words):
    file = tmp_path / "mine.npz"

    def load(scale, seed):
        with np.load(file, allow_pickle=False) as arrays:
            if "labels" in arrays:
                return data(train_images=np.zeros((4, 8, 8, 1), np.uint8), train_labels=arrays["labels"])
            return data(**{name: arrays[name] for name in ("train_images", "test_images")})

    file.write_bytes(content) if isinstance(content, bytes) else np.savez(file, **content)
    row = Dataset("mine", "Mine", "classification", "", facts=lambda scale: FACTS, load=load, files=lambda scale: (file,))
    monkeypatch.setitem(datasets.TABLE, "mine", row)
    monkeypatch.setitem(find.RECIPES, "mine", find.RECIPES["digits"])
    assert plan("--dataset", "mine", "--store", str(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "missing-data" in said and all(word in said for word in ["data set 'mine'", str(file), *words]), said


def test_a_batch_that_the_data_are_too_few_for_cannot_run(tmp_path, capsys):
    assert plan("--set", "batch_size=5000", "--store", str(tmp_path)) == 0  # its teacher can
    assert "batch_size=5000 is not allowed; 1 to 898" in capsys.readouterr().out


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Weights that fit digits-teacher."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file(dict(networks.initial_weights(specification("digits-teacher", "digits", "smoke"), 0)), path)
    return path


@pytest.mark.parametrize("kind", ["no safetensors", "a device", "a pipe", "a folder", "NaN", "another network", "huge"])
def test_a_teachers_file_that_is_none_is_refused_before_the_plan(tmp_path, capsys, teacher, kind):
    path = tmp_path / "given.safetensors"
    words = {"NaN": "holds NaN or inf", "another network": "'digits-teacher' on digits"}.get(kind, "safetensors file")
    if kind == "no safetensors":
        path.write_bytes(b"no weights")
    elif kind == "a device":
        path = "/dev/zero"
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 2**40)
    else:
        arrays = load_file(teacher)
        name = next(iter(arrays))
        arrays[name if kind == "NaN" else "other"] = np.full_like(arrays.pop(name), np.nan)
        save_file(arrays, path)
    with pytest.raises(SystemExit) as stopped:
        plan("--teacher-weights", str(path), "--store", str(tmp_path / "store"))
    said = capsys.readouterr()
    assert stopped.value.code == 2 and words in said.err and str(path) in said.err and said.out == "", said.err


def test_a_sound_teachers_file_is_planned(tmp_path, teacher):
    assert plan("--teacher-weights", str(teacher), "--store", str(tmp_path)) == 0


def test_a_command_of_which_nothing_can_run_exits_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ABKD_DATA", str(tmp_path / "none"))
    words = ["sweep", "--backend", "torch", "--scale", "paper", "--alpha", "0.2,0.5", "--beta", "0.2", "--seeds", "1"]
    words += ["--store", str(tmp_path), "--no-mlflow"]
    assert command.main([*words, "--plan"]) == 1
    assert "cannot run" in capsys.readouterr().out
    unsupported = ["sweep", *words[1:3], "--dtype", "float16", *words[5:]]
    assert command.main([*unsupported, "--plan"]) == command.main(unsupported) == 1


def test_students_of_a_teacher_of_other_code_say_so(tmp_path, monkeypatch):
    store = ["--store", str(tmp_path)]
    assert command.main([*COMMAND, *store, "--seeds", "1"]) == 0
    (old,) = [record for record in Store(tmp_path).records() if record.cell["method"] == "teacher"]
    code = sources.code
    monkeypatch.setattr(sources, "code", lambda *arguments: code(*arguments) | {"backends/torch/losses/rows.py": "another"})
    assert command.main([*COMMAND, *store, "--seeds", "2", "--accept-other-code"]) == 0
    (new,) = [record for record in Store(tmp_path).records() if record.cell.get("seed") == 1]
    mark = new.details["teacher_of_other_code"]
    assert mark["key"] == old.key and mark["code"] == old.details["decided"]["code"]
    # trained anew, it is of this code
    assert command.main([*COMMAND, *store, "--seeds", "3"]) == 0
    (newer,) = [record for record in Store(tmp_path).records() if record.cell.get("seed") == 2]
    assert "teacher_of_other_code" not in newer.details
