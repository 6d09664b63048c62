"""Labelled images in memory: the two parts of a data set, and what turns their pixels into inputs of a network."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from suites.datasets.dataset import DatasetError


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 `[images, height, width, channels]`.
        labels: int64 `[images]`, 0 to classes − 1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Normalisation:
    """Pixels to network inputs: (pixel / largest − mean) / std, channel by channel.

    Attributes:
        mean, std: one number a channel, of pixels scaled to [0, 1].
        largest: the largest pixel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    largest: float = 255.0

    def __call__(self, images: np.ndarray, dtype: str = "float32") -> np.ndarray:
        """Network inputs of uint8 images `[images, height, width, channels]`, the same shape, in a NumPy float type.

        Computed as pixel · scale + shift, one rounding each; scale and shift are rounded from float64.
        """
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        scale, shift = (1 / (self.largest * std)).astype(dtype), (-mean / std).astype(dtype)
        count, height, width, channels = images.shape
        # a row of pixels at a time: inner loops over the few channels alone would be several times slower
        inputs = images.reshape(count, height, width * channels).astype(dtype)
        inputs *= np.tile(scale, width)
        inputs += np.tile(shift, width)
        return inputs.reshape(images.shape)


@dataclass(frozen=True)
class ImageDataset:
    """Labelled images in memory, split for training and testing.

    Attributes:
        name: what users type.
        source: where the images come from and how they were split; says "stand-in" or names the subset.
        train, test: the two parts.
        class_names: in the order of the labels.
        normalisation: of its pixels.
        stand_in: whether embedded data takes the place of the data set of this name.
        corruptions: whether accuracy on corrupted test images is measured too.
    """

    name: str
    source: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    normalisation: Normalisation
    stand_in: bool = False
    corruptions: bool = False

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return tuple(self.train.images.shape[1:])

    def checked(self, place: str, facts: Mapping[str, Any]) -> "ImageDataset":
        """The data set with int64 labels, if its arrays are what they should be.

        Args:
            place: name and files of the data set, for messages.
            facts: what is said of it without reading it: `input_shape`, `classes`.

        Raises:
            DatasetError: an array is of another type, shape or range; the message names it.
        """
        if self.classes != facts["classes"]:
            raise _wrong(place, "class_names", f"name {self.classes} classes", f"{facts['classes']} as its facts say")
        _check_normalisation(place, self.normalisation, facts["input_shape"])
        parts = {name: _checked(place, name, getattr(self, name), self, facts) for name in ("train", "test")}
        return self if all(part is getattr(self, name) for name, part in parts.items()) else replace(self, **parts)

    def described(self) -> dict[str, Any]:
        """How many classes and images there are, for records."""
        return {"classes": self.classes, "train": len(self.train), "test": len(self.test)}

    @cached_property
    def digest(self) -> str:
        """Digest of every image and label, in order, and of the normalisation: 32 hexadecimal digits."""
        state = hashlib.sha256(repr(self.normalisation).encode())
        for array in (self.train.images, self.train.labels, self.test.images, self.test.labels):
            state.update(f"{array.dtype.str}{array.shape}".encode())
            state.update(np.ascontiguousarray(array))
        return state.hexdigest()[:32]


def _checked(place: str, part: str, split: Split, data: ImageDataset, facts: Mapping[str, Any]) -> Split:
    """One part of a data set, its labels in int64."""
    images, labels = split.images, split.labels
    height, width, channels = facts["input_shape"]
    needed = f"uint8 [images, {height}, {width}, {channels}] with at least one image"
    name = f"{part}.images"
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise _wrong(place, name, f"are {_described(images)}", f"{needed}: scale pixels to 0 to 255, round, and convert them")
    if images.ndim != 4 or images.shape[1:] != (height, width, channels) or not len(images):
        raise _wrong(place, name, f"are {_described(images)}", needed)
    if images.max() > data.normalisation.largest:
        found = f"hold pixels up to {images.max()}"
        raise _wrong(place, name, found, f"at most {data.normalisation.largest:g}, the largest of its normalisation")
    name, needed = f"{part}.labels", f"whole numbers from 0 to {data.classes - 1}, one for each of the {len(images)} images"
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        raise _wrong(place, name, f"are {_described(labels)}", needed)
    if labels.shape != (len(images),):
        raise _wrong(place, name, f"are {_described(labels)}", needed)
    if labels.min() < 0 or labels.max() >= data.classes:
        row = int(np.flatnonzero((labels < 0) | (labels >= data.classes))[0])
        raise _wrong(place, f"{name}[{row}]", f"is {labels[row]}", needed)
    return split if labels.dtype == np.int64 else Split(images, labels.astype(np.int64))


def _check_normalisation(place: str, normalisation: Normalisation, shape: tuple[int, ...]) -> None:
    numbers = np.array([*normalisation.mean, *normalisation.std, normalisation.largest], np.float64)
    lengths = {len(normalisation.mean), len(normalisation.std)}
    if lengths != {shape[-1]} or not np.isfinite(numbers).all() or min(*normalisation.std, normalisation.largest) <= 0:
        found = f"is {normalisation}"
        needed = f"a finite mean and a std above 0 for each of the {shape[-1]} channels, and a largest pixel above 0"
        raise _wrong(place, "normalisation", found, needed)


def _described(array: Any) -> str:
    """Type, shape and range of an array, in words."""
    if not isinstance(array, np.ndarray):
        return f"a {type(array).__name__}"
    text = f"{array.dtype} {list(array.shape)}"
    if array.size and np.issubdtype(array.dtype, np.floating):
        missing = int(np.sum(~np.isfinite(array)))
        return text + (f" with {missing:,} NaN or inf" if missing else f" from {array.min():g} to {array.max():g}")
    return text + (f" from {array.min()} to {array.max()}" if array.size and np.issubdtype(array.dtype, np.integer) else "")


def _wrong(place: str, array: str, found: str, needed: str) -> DatasetError:
    return DatasetError(f"{place}: {array} {found}; needed: {needed}")
