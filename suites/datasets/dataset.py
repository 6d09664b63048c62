"""What a data set is: a row that says where it lies and how to get it, and the labelled images that loading gives."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

THERE, INCOMPLETE, NOT_THERE = "there", "incomplete", "not there"


class DatasetError(RuntimeError):
    """A data set cannot be used; the message names the file, what was found, what is expected and the next step."""


class DatasetMissing(DatasetError):
    """A data set is not there, or not all of it."""


@dataclass(frozen=True)
class Presence:
    """Whether a data set is there, by a look at its files' names and sizes.

    Attributes:
        state: `THERE`, `INCOMPLETE` or `NOT_THERE`.
        detail: what is missing, or where it lies.
    """

    state: str
    detail: str = ""


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
        scale, shift = self._line(dtype)
        count, height, width, channels = images.shape
        # a row of pixels at a time: inner loops over the few channels alone would be several times slower
        inputs = images.reshape(count, height, width * channels).astype(dtype)
        inputs *= np.tile(scale, width)
        inputs += np.tile(shift, width)
        return inputs.reshape(images.shape)

    def channels_first(self, images: np.ndarray, dtype: str = "float32") -> np.ndarray:
        """The same inputs as `[images, channels, height, width]`, contiguous."""
        scale, shift = self._line(dtype)
        inputs = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(dtype)
        inputs *= scale[:, np.newaxis, np.newaxis]
        inputs += shift[:, np.newaxis, np.newaxis]
        return inputs

    def _line(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (1 / (self.largest * std)).astype(dtype), (-mean / std).astype(dtype)


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
    """

    name: str
    source: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    normalisation: Normalisation
    stand_in: bool = False

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return tuple(self.train.images.shape[1:])

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training images, int64."""
        return self.train.labels

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test images, int64."""
        return self.test.labels

    @cached_property
    def test_images(self) -> np.ndarray:
        """All test images as network inputs, float32 `[images, height, width, channels]`."""
        return self.normalisation(self.test.images)

    @cached_property
    def digest(self) -> str:
        """Digest of every image and label, in order, and of the normalisation: 32 hexadecimal digits."""
        state = hashlib.sha256(repr(self.normalisation).encode())
        for array in (self.train.images, self.train.labels, self.test.images, self.test.labels):
            state.update(f"{array.dtype.str}{array.shape}".encode())
            state.update(np.ascontiguousarray(array))
        return state.hexdigest()[:32]


def nothing_to_find(folder: Path) -> Presence:
    """Presence of a data set that is part of the installation."""
    return Presence(THERE, "in every installation")


@dataclass(frozen=True)
class Dataset:
    """A row of the table of data sets.

    Attributes:
        name: what users type.
        title: what its authors call it.
        task: one or two words.
        get: how to get it and where to put it, below the data folder.
        presence: data folder → whether it is there.
        load: scale → its images; None where its loader is not built yet.
        fetch: (data folder, address or None, whether to draw a bar) → downloads it; None where its upstream has no file
            that can be fetched.
    """

    name: str
    title: str
    task: str
    get: str
    presence: Callable[[Path], Presence] = nothing_to_find
    load: Callable[[str], ImageDataset] | None = None
    fetch: Callable[[Path, str | None, bool], None] | None = None
