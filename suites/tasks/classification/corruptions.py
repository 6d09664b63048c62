"""Corrupted test images: Gaussian noise, Gaussian blur and low contrast at five stated strengths.

Kinds and strengths are CIFAR-10-C's and CIFAR-100-C's: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations", ICLR 2019, numbers from its published code for CIFAR
(https://github.com/hendrycks/robustness). As there, a result is cut to [0, 1] and rounded down to whole pixels, and a blur
repeats the border's pixels outwards and its kernel reaches 4 σ. Declared by this project: the noise comes from a
counter-based stream, so that it is the same on every machine, and the chosen severities.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from suites.datasets.images import ImageDataset
from suites.streams import WORDS_PER_COUNT, raw_stream

# of CIFAR-C; 1 is the mildest
SEVERITIES = (1, 2, 3, 4, 5)
# measured after each training; declared by this project: the mildest, the middle and the strongest
MEASURED_SEVERITIES = (1, 3, 5)
# images that are worked on at once, to keep memory small
CHUNK = 500


def _noise(pixels: np.ndarray, sigma: float, seed: int, first: int) -> np.ndarray:
    count, values = len(pixels), pixels[0].size
    # an image's words begin at a whole value of the counter: its noise depends on its own place alone
    words = -(-values // WORDS_PER_COUNT) * WORDS_PER_COUNT
    raw = raw_stream("corruption", seed, 0, count * words, first=first * words).reshape(count, words)[:, :values]
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return pixels + sigma * ndtri(uniform).reshape(pixels.shape)


def _blur(pixels: np.ndarray, sigma: float, seed: int, first: int) -> np.ndarray:
    return gaussian_filter(pixels, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)


def _contrast(pixels: np.ndarray, factor: float, seed: int, first: int) -> np.ndarray:
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return (pixels - mean) * factor + mean


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        strengths: by severity, 1 to 5.
        meaning: of a strength.
        apply: (pixels in [0, 1], strength, seed, place of the first image) → pixels, not yet cut to [0, 1].
    """

    strengths: tuple[float, float, float, float, float]
    meaning: str
    apply: Callable[[np.ndarray, float, int, int], np.ndarray]


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption((0.04, 0.06, 0.08, 0.09, 0.10), "standard deviation, of pixels scaled to [0, 1]", _noise),
    "gaussian_blur": Corruption((0.4, 0.6, 0.7, 0.8, 1.0), "standard deviation of the kernel, in pixels", _blur),
    "contrast": Corruption((0.75, 0.5, 0.4, 0.3, 0.15), "factor on the distance from the channel's mean", _contrast),
}


def corrupt(
    images: np.ndarray, kind: str, severity: int, *, seed: int = 0, first: int = 0, largest: float = 255.0
) -> np.ndarray:
    """Corrupt images.

    Args:
        images: uint8 `[images, height, width, channels]`; not changed.
        kind: a name in `CORRUPTIONS`.
        severity: 1 to 5.
        seed: of the noise.
        first: place in the data set of the first image; an image's noise depends on seed and place alone.
        largest: the largest pixel.

    Returns:
        uint8, the same shape.

    Raises:
        ValueError: an unknown kind or severity, or images that are not as above.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind={kind!r} is not known; choose one of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity!r} is not allowed; it must be one of {', '.join(map(str, SEVERITIES))}")
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(f"images is {images.dtype} {images.shape}; uint8 [images, height, width, channels] is needed")
    corruption = CORRUPTIONS[kind]
    result = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        pixels = images[start : start + CHUNK] / largest
        pixels = corruption.apply(pixels, corruption.strengths[severity - 1], seed, first + start)
        result[start : start + CHUNK] = np.clip(pixels, 0, 1) * largest
    return result


def corrupted_test_images(
    dataset: ImageDataset, severities: tuple[int, ...] = MEASURED_SEVERITIES, seed: int = 0
) -> Iterator[tuple[str, int, np.ndarray]]:
    """(kind, severity, uint8 test images) for every kind at the given severities, made one after the other."""
    for kind in CORRUPTIONS:
        for severity in severities:
            largest = dataset.normalisation.largest
            yield kind, severity, corrupt(dataset.test.images, kind, severity, seed=seed, largest=largest)


def metric_name(kind: str, severity: int) -> str:
    """Name of the accuracy under a corruption in records, e.g. `test/accuracy_contrast_3`."""
    return f"test/accuracy_{kind}_{severity}"
