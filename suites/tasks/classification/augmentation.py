"""Random crops and flips of training images, the same in every backend, after a resume and at every batch size.

What happens to an image depends on seed, epoch and the image's place in the data set, and on nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from suites.streams import raw_stream

# bits of a 64-bit word that each of an image's two offsets is made from; the last bit left is the flip
OFFSET_BITS = 31


@dataclass(frozen=True)
class Augmentation:
    """Crops of the image's own size out of the image with a black border, then a flip left to right half of the time.

    Attributes:
        pad: width of the border on every side in pixels; 0 crops nothing.
        flip: whether images are flipped at all.
    """

    pad: int = 0
    flip: bool = False

    def draws(self, seed: int, epoch: int, count: int) -> "Draws":
        """Offsets and flips of all images of a data set in an epoch.

        An offset is uniform on 0 … 2·pad up to one part in 2³¹ / (2·pad + 1).

        Args:
            seed, epoch: they decide, with an image's place.
            count: images in the data set.
        """
        words = raw_stream("augmentation", seed, epoch, count)
        mask, places = np.uint64(2**OFFSET_BITS - 1), np.uint64(2 * self.pad + 1)
        shift = np.uint64(OFFSET_BITS)
        top = ((words & mask) * places) >> shift
        left = (((words >> shift) & mask) * places) >> shift
        flipped = (words >> np.uint64(63)).astype(bool) if self.flip else np.zeros(count, bool)
        return Draws(top.astype(np.intp), left.astype(np.intp), flipped)

    def apply(self, images: np.ndarray, draws: "Draws") -> np.ndarray:
        """Crop and flip images.

        Args:
            images: uint8 `[images, height, width, channels]`; not changed.
            draws: of these images.

        Returns:
            uint8, the same shape.
        """
        if self.pad:
            images = _windows(images, self.pad, draws)
        if draws.flipped.any():
            images = np.array(images) if not self.pad else images
            images[draws.flipped] = images[draws.flipped][:, :, ::-1]
        return images


@dataclass(frozen=True)
class Draws:
    """What happens to each image.

    Attributes:
        top, left: int `[images]`, corner of the crop in the image with its border, 0 to 2·pad.
        flipped: bool `[images]`, whether the crop is then flipped.
    """

    top: np.ndarray
    left: np.ndarray
    flipped: np.ndarray

    def of(self, rows: np.ndarray) -> "Draws":
        """Draws of the images at `rows`."""
        return Draws(self.top[rows], self.left[rows], self.flipped[rows])


def _windows(images: np.ndarray, pad: int, draws: Draws) -> np.ndarray:
    """The crop of each image: one indexed copy out of a view of all crops that there are."""
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), images.dtype)
    padded[:, pad : pad + height, pad : pad + width] = images
    by_image, by_row, by_column, by_channel = padded.strides
    places = 2 * pad + 1
    # a crop's row is one stretch of memory, so it is one axis of the view
    view = as_strided(
        padded,
        (count, places, places, height, width * channels),
        (by_image, by_row, by_column, by_row, by_channel),
        writeable=False,
    )
    return view[np.arange(count), draws.top, draws.left].reshape(count, height, width, channels)
