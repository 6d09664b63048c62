"""CIFAR-100's official layout: the pickles `train`, `test` and `meta` in one folder, read with checks, and written.

A batch is a dict of `data` (uint8 `[images, 3072]`, a row being a red, a green and a blue plane of 32 × 32),
`fine_labels`, `coarse_labels`, `filenames` and `batch_label`; `meta` names the labels. Source of the layout: A.
Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
import os
import pickle
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suites.datasets.dataset import INCOMPLETE, NOT_THERE, THERE, DatasetError, Presence
from suites.datasets.images import Split
from suites.datasets.pickles import read_pickle

FOLDER = "cifar-100-python"
SIDE, CHANNELS = 32, 3
ROW = SIDE * SIDE * CHANNELS


@dataclass(frozen=True)
class Contents:
    """What a folder in this layout must hold.

    Attributes:
        classes: number of fine labels.
        train, test: images of each class in either file.
        next_step: what the user does where a file is damaged.
    """

    classes: int
    train: int
    test: int
    next_step: str

    def count(self, split: str) -> int:
        """Images of a file."""
        return self.classes * self.per_class(split)

    def per_class(self, split: str) -> int:
        """Images of each class in a file."""
        return self.train if split == "train" else self.test


def presence(folder: Path, contents: Contents) -> Presence:
    """Whether the three files are there, and no smaller than their images are."""
    smallest = {"train": contents.count("train") * ROW, "test": contents.count("test") * ROW, "meta": 1}
    if not any((folder / name).exists() for name in smallest):
        return Presence(NOT_THERE, f"no {FOLDER}/ in {folder.parent}")
    wrong = []
    for name, size in smallest.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size < size:
            wrong.append(f"{name} has {path.stat().st_size:,} bytes, at least {size:,} are expected")
    return Presence(INCOMPLETE, f"{folder}: {'; '.join(wrong)}") if wrong else Presence(THERE, str(folder))


def read_split(folder: Path, split: str, contents: Contents) -> Split:
    """Images and fine labels of one file, checked, in an order that does not depend on the file's.

    Rows are sorted by a digest of their pixels: whoever laid the same images out in another order gets the same data
    set, the same batches and the same results.

    Args:
        folder: holds `train` and `test`.
        split: "train" or "test".
        contents: what it must hold.

    Raises:
        DatasetMissing: the file is not there.
        DatasetError: it holds something else; the message says what.
    """
    path = folder / split
    batch = read_pickle(path)
    data = _entry(path, batch, "data", contents)
    count = contents.count(split)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (count, ROW):
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise _wrong(path, f"its data are {found}", f"uint8 [{count}, {ROW}]", contents)
    labels = _labels(path, batch, split, contents)
    order = _content_order(data, labels)
    planes = data[order].reshape(count, CHANNELS, SIDE, SIDE)
    images = np.empty((count, SIDE, SIDE, CHANNELS), np.uint8)
    for channel in range(CHANNELS):  # about twice as fast as copying the transposed array
        images[..., channel] = planes[:, channel]
    return Split(images, labels[order])


def read_names(folder: Path, contents: Contents) -> tuple[str, ...]:
    """Names of the fine labels.

    Raises:
        DatasetMissing: `meta` is not there.
        DatasetError: it does not name as many classes as there are.
    """
    path = folder / "meta"
    names = _entry(path, read_pickle(path), "fine_label_names", contents)
    if not isinstance(names, list) or not all(isinstance(name, (str, bytes)) for name in names):
        raise _wrong(path, "its fine_label_names are no list of strings", f"{contents.classes} names", contents)
    names = [name.decode("latin1") if isinstance(name, bytes) else name for name in names]
    if len(set(names)) != len(names) or len(names) != contents.classes:
        raise _wrong(path, f"{len(names)} class names, {len(set(names))} different", f"{contents.classes}", contents)
    return tuple(names)


def _entry(path: Path, batch: Any, key: str, contents: Contents) -> Any:
    if not isinstance(batch, dict) or key not in batch:
        found = f"the keys {sorted(map(str, batch))[:8]}" if isinstance(batch, dict) else f"a {type(batch).__name__}"
        raise _wrong(path, f"it holds {found}", f"a dict with the key {key!r}", contents)
    return batch[key]


def _labels(path: Path, batch: Any, split: str, contents: Contents) -> np.ndarray:
    """Fine labels, int64, as many of each class as there must be; each class has one coarse label."""
    fine = _whole_numbers(path, batch, "fine_labels", contents.count(split), contents.classes, contents)
    counts, wanted = np.bincount(fine, minlength=contents.classes), contents.per_class(split)
    if (counts != wanted).any():
        worst = int(np.argmax(counts != wanted))
        raise _wrong(path, f"{counts[worst]} images of class {worst}", f"{wanted} of each class", contents)
    if "coarse_labels" in batch:
        coarse = _whole_numbers(path, batch, "coarse_labels", len(fine), contents.classes, contents)
        first = np.zeros(contents.classes, np.int64)
        first[fine] = coarse
        if (first[fine] != coarse).any():
            mixed = int(fine[np.argmax(first[fine] != coarse)])
            found = f"images of class {mixed} under several coarse labels"
            raise _wrong(path, found, "one coarse label a class", contents)
    return fine


def _whole_numbers(path: Path, batch: Any, key: str, count: int, below: int, contents: Contents) -> np.ndarray:
    """`batch[key]` as int64 `[count]`, each from 0 to `below` − 1."""
    values = _entry(path, batch, key, contents)
    values = values.tolist() if isinstance(values, np.ndarray) else values
    expected = f"{count} whole numbers from 0 to {below - 1}"
    if not isinstance(values, list) or len(values) != count:
        found = f"{len(values)} {key}" if isinstance(values, list) else f"{key} as a {type(values).__name__}"
        raise _wrong(path, found, expected, contents)
    for row, value in enumerate(values):
        if type(value) is not int or not 0 <= value < below:
            found = str(value)[:40] if type(value) in (int, float, str) else type(value).__name__
            raise _wrong(path, f"{key}[{row}] is {found}", expected, contents)
    return np.array(values, np.int64)


def _wrong(path: Path, found: str, expected: str, contents: Contents) -> DatasetError:
    return DatasetError(f"{path}: {found}; expected: {expected}. {contents.next_step}")


def _content_order(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Order of rows by a digest of their bytes; equal images, which CIFAR-100 has, by their labels."""
    first = b"".join(hashlib.sha256(row).digest()[:8] for row in np.ascontiguousarray(rows))
    return np.lexsort((labels, np.frombuffer(first, ">u8")))


def write(folder: Path, splits: dict[str, tuple[np.ndarray, np.ndarray]], names: list[str]) -> None:
    """Write images in this layout; the folder appears as a whole or not at all.

    Args:
        folder: the new folder; one that is there already is left as it is.
        splits: (images uint8 `[images, 32, 32, 3]`, labels) of "train" and "test".
        names: of the classes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for split, (images, labels) in splits.items():
            batch = {
                "data": images.transpose(0, 3, 1, 2).reshape(len(images), ROW),
                "fine_labels": [int(label) for label in labels],
                "coarse_labels": [0] * len(labels),
                "filenames": [f"{split}_{row}.png" for row in range(len(labels))],
                "batch_label": f"{split}ing batch 1 of 1",
            }
            (temporary / split).write_bytes(pickle.dumps(batch, protocol=2))
        meta = {"fine_label_names": names, "coarse_label_names": ["all"]}
        (temporary / "meta").write_bytes(pickle.dumps(meta, protocol=2))
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():  # where it is, another process was first and wrote the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
