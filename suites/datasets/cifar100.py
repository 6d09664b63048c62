"""CIFAR-100 (Krizhevsky, 2009): 60,000 colour images of 32 × 32 pixels in 100 classes.

Whole at the scale "paper", a subset of its classes at "small". At "smoke" handwritten digits stand in for it, written in
its layout and read by the same code.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from suites.datasets import cifar_layout, digests
from suites.datasets.cifar_layout import CHANNELS, FOLDER, SIDE, Contents
from suites.datasets.dataset import THERE, Dataset, DatasetError, Presence
from suites.datasets.digits import LARGEST_PIXEL, load_digits
from suites.datasets.download import Archive, fetch_archive
from suites.datasets.images import ImageDataset, Normalisation, Split
from suites.datasets.places import data_folder, stand_in_folder

# address and checksum as its homepage gives them, https://www.cs.toronto.edu/~kriz/cifar.html
ARCHIVE = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    members=(f"{FOLDER}/train", f"{FOLDER}/test", f"{FOLDER}/meta"),
    megabytes=350,
)
CONTENTS = Contents(
    classes=100,
    train=500,
    test=100,
    next_step="Delete it and run `nox -s data -- fetch cifar100`, or unpack the official archive in its place",
)
# per channel, of the training images; recipe of the ABKD paper's CIFAR-100 runs
NORMALISATION = Normalisation(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761))


@dataclass(frozen=True)
class Subset:
    """Some of the classes, and some of their images, by a rule that leaves nothing to chance.

    The classes are the first ones in the order of their labels, which is the alphabet's; of each class the images whose
    digests are smallest.

    Attributes:
        classes: how many classes.
        train_images, test_images: of each class.
    """

    classes: int
    train_images: int
    test_images: int

    def __str__(self) -> str:
        return f"first {self.classes} classes, {self.train_images} training and {self.test_images} test images of each"

    def of(self, data: ImageDataset) -> ImageDataset:
        """The subset of a data set.

        Raises:
            ValueError: the data set has fewer classes or images.
        """
        if not 1 <= self.classes <= data.classes:
            raise ValueError(f"classes={self.classes!r} is not allowed; {data.name} has 1 to {data.classes}")
        return replace(
            data,
            source=f"{data.source}; subset: {self}",
            train=self._part(data.train, self.train_images, "train_images"),
            test=self._part(data.test, self.test_images, "test_images"),
            class_names=data.class_names[: self.classes],
        )

    def _part(self, split: Split, wanted: int, argument: str) -> Split:
        chosen = []
        for label in range(self.classes):
            rows = np.flatnonzero(split.labels == label)
            if not 1 <= wanted <= len(rows):
                raise ValueError(f"{argument}={wanted!r} is not allowed; class {label} has 1 to {len(rows)}")
            chosen.append(rows[:wanted])  # rows come sorted by digest
        rows = np.sort(np.concatenate(chosen))
        return Split(split.images[rows], split.labels[rows])


# of the scale "small", declared by this project
SMALL = Subset(classes=20, train_images=250, test_images=100)
SCALES = ("smoke", "small", "paper")
# images of each digit in the stand-in, in either part; every digit has them
STAND_IN_IMAGES, STAND_IN_CLASSES = 80, 10
STAND_IN = f"{FOLDER}-{STAND_IN_IMAGES}"
# of its images: a plan needs it and reads none, and loading checks it
STAND_IN_DIGEST = "c1377cbfc938b1f1a42d880501c43b92"


def facts(scale: str) -> dict[str, Any]:
    """Shape of an image and number of classes, the stand-in's at the scale "smoke"."""
    classes = {"smoke": STAND_IN_CLASSES, "small": SMALL.classes, "paper": CONTENTS.classes}[_checked(scale)]
    return {"input_shape": (SIDE, SIDE, CHANNELS), "classes": classes}


def files(scale: str) -> tuple[Path, ...]:
    """The official files; none at the scale "smoke", whose images are embedded."""
    if _checked(scale) == "smoke":
        return ()
    return tuple(data_folder() / FOLDER / name for name in ("train", "test", "meta"))


def digest(scale: str) -> str:
    """Digest of the official files, or of the stand-in's images, which are the same wherever they are made."""
    return STAND_IN_DIGEST if _checked(scale) == "smoke" else digests.of_files(files(scale))


def _checked(scale: str) -> str:
    if scale not in SCALES:
        raise ValueError(f"scale={scale!r} is not known; choose one of {', '.join(SCALES)}")
    return scale


def load_cifar100(scale: str = "paper", seed: int | None = None) -> ImageDataset:
    """Load CIFAR-100, checked.

    Args:
        scale: "paper" for all of it, "small" for the subset `SMALL`, "smoke" for the stand-in.
        seed: changes nothing: no part of it is drawn.

    Raises:
        ValueError: unknown scale.
        DatasetMissing: it is not there.
        DatasetError: a file is damaged.
    """
    if _checked(scale) == "smoke":
        return _stand_in()
    data = _read(data_folder() / FOLDER, CONTENTS, "CIFAR-100 (Krizhevsky, 2009), official layout")
    return SMALL.of(data) if scale == "small" else data


def _read(folder: Path, contents: Contents, source: str) -> ImageDataset:
    return ImageDataset(
        name="cifar100",
        source=source,
        train=cifar_layout.read_split(folder, "train", contents),
        test=cifar_layout.read_split(folder, "test", contents),
        class_names=cifar_layout.read_names(folder, contents),
        normalisation=NORMALISATION,
        corruptions=True,
    )


def _stand_in() -> ImageDataset:
    """Digits in CIFAR-100's layout, written once to the user's cache."""
    folder = stand_in_folder() / STAND_IN
    next_step = f"Delete {folder}; it is made anew"
    contents = Contents(STAND_IN_CLASSES, STAND_IN_IMAGES, STAND_IN_IMAGES, next_step)
    if cifar_layout.presence(folder, contents).state != THERE:
        digits = load_digits()
        splits = {name: _as_cifar(part) for name, part in (("train", digits.train), ("test", digits.test))}
        try:
            cifar_layout.write(folder, splits, list(digits.class_names))
        except OSError as error:
            raise DatasetError(
                f"The stand-in of CIFAR-100 cannot be written to {folder}: {error.strerror or error}. Make the user's cache "
                "directory writable, or name another one (XDG_CACHE_HOME on Linux)"
            ) from error
    data = _read(folder, contents, f"stand-in for CIFAR-100: digits, {STAND_IN_IMAGES} a class, enlarged to 32 × 32")
    if data.digest != STAND_IN_DIGEST:
        raise DatasetError(
            f"{folder}: the digest of the images is {data.digest}; expected: {STAND_IN_DIGEST}. {next_step}, unless another "
            "scikit-learn has drawn other digits; pyproject.toml names the version that was tested"
        )
    return replace(data, stand_in=True)


def _as_cifar(part: Split) -> tuple[np.ndarray, np.ndarray]:
    """The first images of each digit, each pixel enlarged to a square, grey in all channels."""
    rows = np.sort(np.concatenate([np.flatnonzero(part.labels == d)[:STAND_IN_IMAGES] for d in range(STAND_IN_CLASSES)]))
    small = np.round(part.images[rows] * (255 / LARGEST_PIXEL)).astype(np.uint8)
    factor = SIDE // small.shape[1]
    return small.repeat(factor, axis=1).repeat(factor, axis=2).repeat(3, axis=3), part.labels[rows]


def presence(folder: Path) -> Presence:
    """Whether the official files lie under a data folder."""
    return cifar_layout.presence(folder / FOLDER, CONTENTS)


DATASET = Dataset(
    name="cifar100",
    title="CIFAR-100",
    task="classification",
    get=f"nox -s data -- fetch cifar100; or unpack {ARCHIVE.name} there",
    presence=presence,
    facts=facts,
    load=load_cifar100,
    files=files,
    digest=digest,
    fetch=partial(fetch_archive, ARCHIVE),
)
