"""What a data set of labelled images is."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class ImageDataset:
    """Labelled images, split for training and testing.

    Attributes:
        name: what users type.
        source: where the images come from, and how they were split and scaled.
        train_images, test_images: float32 `[images, height, width, channels]`, scaled.
        train_labels, test_labels: int64 `[images]`.
        classes: number of classes.
    """

    name: str
    source: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return tuple(self.train_images.shape[1:])

    @cached_property
    def digest(self) -> str:
        """Digest of every image and label, in order: 32 hexadecimal digits."""
        state = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            state.update(f"{array.dtype.str}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()[:32]
