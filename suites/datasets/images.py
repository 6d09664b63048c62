"""Labelled images in memory: the two parts of a data set, and what turns their pixels into inputs of a network."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


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
