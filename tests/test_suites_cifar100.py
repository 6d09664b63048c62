"""CIFAR-100: its layout with all checks, the subset, the stand-in, and the real images where they are at hand."""

import pickle
import sys
from dataclasses import replace

import fake_harness
import numpy as np
import pytest
from test_suites_pickles import python2_pickle

import backends
from suites import __main__ as command
from suites import datasets
from suites.datasets import cifar100, cifar_layout, others, places
from suites.datasets.cifar100 import Subset
from suites.datasets.cifar_layout import Contents
from suites.datasets.dataset import INCOMPLETE, NOT_THERE, THERE, DatasetError, DatasetMissing
from suites.datasets.images import ImageDataset
from suites.datasets.places import data_folder

TINY = Contents(classes=4, train=5, test=2, next_step="Get it again")
NAMES = ["apple", "bear", "chair", "dolphin"]


def _images(per_class, seed):
    random = np.random.RandomState(seed)
    labels = np.repeat(np.arange(4), per_class)
    return random.randint(0, 256, (len(labels), 32, 32, 3)).astype(np.uint8), labels


@pytest.fixture
def folder(tmp_path):
    cifar_layout.write(tmp_path / "tiny", {"train": _images(5, 0), "test": _images(2, 1)}, NAMES)
    return tmp_path / "tiny"


def _change(path, **entries):
    batch = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(batch | entries, protocol=2))


def _by_pixels(images, labels):
    return {image.tobytes(): label for image, label in zip(images, labels, strict=True)}


def test_what_is_written_is_read_pixel_by_pixel(folder):
    split = cifar_layout.read_split(folder, "train", TINY)
    assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64 and len(split) == 20
    assert _by_pixels(split.images, split.labels) == _by_pixels(*_images(5, 0))
    assert cifar_layout.read_names(folder, TINY) == tuple(NAMES)
    assert cifar_layout.presence(folder, TINY).state == THERE


def test_a_row_is_a_red_a_green_and_a_blue_plane(tmp_path):
    rows = np.zeros((4, 3072), np.uint8)
    rows[:, :1024], rows[:, 1024:2048], rows[:, 2048 + 33] = 1, 2, 3
    batch = {"data": rows, "fine_labels": [0, 1, 2, 3], "coarse_labels": [0, 0, 0, 0], "filenames": ["a"] * 4}
    (tmp_path / "train").write_bytes(python2_pickle(batch))
    image = cifar_layout.read_split(tmp_path, "train", replace(TINY, train=1)).images[0]
    assert (image[..., 0] == 1).all() and (image[..., 1] == 2).all()
    assert image[1, 1, 2] == 3 and image[..., 2].sum() == 3


def test_the_order_of_a_file_does_not_matter(folder, tmp_path):
    images, labels = _images(5, 0)
    order = np.random.RandomState(3).permutation(len(labels))
    other = tmp_path / "other"
    cifar_layout.write(other, {"train": (images[order], labels[order]), "test": _images(2, 1)}, NAMES)
    one, two = (cifar_layout.read_split(place, "train", TINY) for place in (folder, other))
    assert np.array_equal(one.images, two.images) and np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.labels, np.sort(one.labels))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"fine_labels": [0] * 19 + [4]}, [r"fine_labels\[19\] is 4", "from 0 to 3"]),
        ({"fine_labels": [0] * 19 + [-1]}, [r"fine_labels\[19\] is -1"]),
        ({"fine_labels": [True] * 20}, [r"fine_labels\[0\] is bool"]),
        ({"fine_labels": [0] * 6 + [1] * 4 + [2] * 5 + [3] * 5}, ["6 images of class 0", "5 of each class"]),
        ({"fine_labels": [0] * 19}, ["19 fine_labels", "20 whole numbers"]),
        ({"fine_labels": None}, ["fine_labels as a NoneType"]),
        ({"coarse_labels": [0, 1] * 10}, ["class 0 under several coarse labels"]),
        ({"data": np.zeros((20, 3071), np.uint8)}, [r"uint8 \[20, 3071\]", r"uint8 \[20, 3072\]"]),
        ({"data": np.zeros((19, 3072), np.uint8)}, [r"uint8 \[19, 3072\]"]),
        ({"data": np.zeros((20, 3072), np.int64)}, [r"int64 \[20, 3072\]"]),
        ({"data": [1, 2]}, ["its data are list"]),
    ],
)
def test_wrong_contents_are_named(folder, entries, words):
    _change(folder / "train", **entries)
    with pytest.raises(DatasetError, match=r"tiny.train: .*; expected: .*\. Get it again") as caught:
        cifar_layout.read_split(folder, "train", TINY)
    for word in words:
        assert caught.match(word)


def test_a_file_of_something_else_is_named(folder):
    (folder / "train").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DatasetError, match="it holds a list; expected: a dict with the key 'data'"):
        cifar_layout.read_split(folder, "train", TINY)
    _change(folder / "meta", fine_label_names=["apple", "apple", "bear", "chair"])
    with pytest.raises(DatasetError, match="4 class names, 3 different"):
        cifar_layout.read_names(folder, TINY)


def test_presence_tells_missing_from_incomplete(folder, tmp_path):
    assert cifar_layout.presence(tmp_path / "nothing", TINY).state == NOT_THERE
    content = (folder / "train").read_bytes()
    (folder / "train").write_bytes(content[:1000])
    (folder / "meta").unlink()
    found = cifar_layout.presence(folder, TINY)
    assert found.state == INCOMPLETE and "1,000 bytes" in found.detail and "meta is missing" in found.detail
    with pytest.raises(DatasetError, match="truncated"):
        cifar_layout.read_split(folder, "train", TINY)
    with pytest.raises(DatasetMissing, match="meta is not there"):
        cifar_layout.read_names(folder, TINY)


def _tiny(folder):
    parts = {split: cifar_layout.read_split(folder, split, TINY) for split in ("train", "test")}
    return ImageDataset("tiny", "made here", class_names=tuple(NAMES), normalisation=cifar100.NORMALISATION, **parts)


def test_a_subset_takes_the_first_classes_and_names_itself(folder):
    data = _tiny(folder)
    part = Subset(classes=2, train_images=3, test_images=1).of(data)
    assert part.classes == 2 and list(np.bincount(part.train.labels)) == [3, 3] and len(part.test) == 2
    assert "first 2 classes, 3 training" in part.source and part.digest != data.digest
    more = Subset(classes=3, train_images=4, test_images=1).of(data)
    ours, others, everything = (_by_pixels(d.train.images, d.train.labels).items() for d in (part, more, data))
    assert ours <= others <= everything
    with pytest.raises(ValueError, match="classes=5"):
        Subset(5, 1, 1).of(data)
    with pytest.raises(ValueError, match="train_images=6"):
        Subset(2, 6, 1).of(data)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("ABKD_DATA", raising=False)
    return tmp_path / "cache"


def test_the_stand_in_is_digits_in_the_layout_of_cifar100(own_cache):
    data = cifar100.load_cifar100("smoke")
    assert data.stand_in and data.source.startswith("stand-in") and data.name == "cifar100"
    assert data.input_shape == (32, 32, 3) and data.classes == 10
    assert set(np.bincount(data.train.labels)) == set(np.bincount(data.test.labels)) == {80}
    assert (data.train.images[:, ::4, ::4] == data.train.images[:, 3::4, 3::4]).all()  # pixels are squares of four
    digits = datasets.load("digits")
    small = np.unique(np.round(digits.train.images * (255 / 16)).astype(np.uint8))
    assert set(np.unique(data.train.images)) <= set(small)
    written = sorted(path for path in own_cache.rglob("*") if path.is_file())
    assert [path.name for path in written] == ["meta", "test", "train"]
    before = [path.stat().st_mtime_ns for path in written]
    assert cifar100.load_cifar100("smoke").digest == data.digest == cifar100.digest("smoke")
    assert [path.stat().st_mtime_ns for path in written] == before


def test_a_stand_in_with_other_images_is_noticed(own_cache):
    cifar100.load_cifar100("smoke")
    path = places.stand_in_folder() / cifar100.STAND_IN / "train"
    batch = pickle.loads(path.read_bytes())
    batch["data"][0, 0] ^= 1
    path.write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DatasetError, match=f"digest of the images is .*{cifar100.STAND_IN_DIGEST}.*it is made anew"):
        cifar100.load_cifar100("smoke")


def test_planning_at_paper_scale_reads_no_image(own_cache, monkeypatch, capsys):
    # CIFAR-100 as far as a look at names and sizes goes: three files, and as many bytes as are expected of them
    monkeypatch.setattr(cifar100, "CONTENTS", replace(cifar100.CONTENTS, train=1, test=1))
    folder = data_folder() / cifar_layout.FOLDER
    folder.mkdir(parents=True)
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(bytes(100 * cifar_layout.ROW))
    monkeypatch.setattr(backends, "load", lambda name: fake_harness)

    def refuse(*_):
        raise AssertionError("an image is read while a plan is made")

    for module, reading in ((cifar_layout, "read_pickle"), (cifar100, "load_digits"), (cifar100, "_read")):
        monkeypatch.setattr(module, reading, refuse)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    typed = ["distill", "--backend", "torch", "--scale", "paper", "--plan", "--store", str(places.cache_folder() / "store")]
    assert command.main(typed) == 0
    planned = capsys.readouterr().out
    assert "scale paper" in planned and "resnet56 teacher" in planned and "cannot run:" not in planned


def test_a_cache_that_cannot_be_written_is_named(own_cache):
    own_cache.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="stand-in of CIFAR-100 cannot be written to .*XDG_CACHE_HOME"):
        cifar100.load_cifar100("smoke")


def test_a_writer_that_comes_second_leaves_the_first_ones_files(folder):
    before = (folder / "train").read_bytes()
    cifar_layout.write(folder, {"train": _images(5, 7), "test": _images(2, 8)}, NAMES)
    assert (folder / "train").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]  # and nothing half-written beside it


def test_loading_what_is_not_there_says_how_to_get_it(own_cache):
    with pytest.raises(DatasetMissing, match="cifar-100-python.train is not there.*nox -s data"):
        cifar100.load_cifar100("paper")
    with pytest.raises(ValueError, match="scale='huge'.*smoke, small, paper"):
        cifar100.load_cifar100("huge")
    with pytest.raises(ValueError, match="dataset='dtd' is not built yet; built so far: digits, cifar100"):
        datasets.load("dtd")


def test_the_table_has_the_papers_seventeen_data_sets():
    papers = {row.name for row in (*others.DATASETS, cifar100.DATASET)}
    assert len(papers) == 17 and papers < set(datasets.TABLE)
    assert all(row.name == name and row.get for name, row in datasets.TABLE.items())
    assert {"digits", "cifar100"} <= set(datasets.built()) and papers & set(datasets.built()) == {"cifar100"}


@pytest.mark.skipif(
    cifar100.presence(data_folder()).state != THERE, reason="CIFAR-100 is not under ABKD_DATA (nox -s data -- list)"
)
def test_the_real_images():
    data = datasets.load("cifar100", "paper")
    assert data.train.images.shape == (50_000, 32, 32, 3) and data.test.images.shape == (10_000, 32, 32, 3)
    assert data.classes == 100 and data.class_names[:2] == ("apple", "aquarium_fish") and not data.stand_in
    # the recipe's constants are those of the training images
    counts = np.stack([np.bincount(data.train.images[..., channel].ravel(), minlength=256) for channel in range(3)])
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = shares @ values
    assert np.abs(mean - data.normalisation.mean).max() < 2e-4
    assert np.abs(np.sqrt(shares @ values**2 - mean**2) - data.normalisation.std).max() < 2e-3
    small = cifar100.SMALL.of(data)
    assert small.classes == cifar100.SMALL.classes and len(small.train) == small.classes * cifar100.SMALL.train_images
