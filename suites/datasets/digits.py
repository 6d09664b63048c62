"""Handwritten digits of scikit-learn: 1,797 real images of 8 × 8 pixels, in every installation."""

import numpy as np

from suites.datasets.dataset import Dataset
from suites.datasets.images import ImageDataset, Normalisation, Split

# pixels count 0 to 16 dark points of a 4 × 4 block (UCI, "Optical Recognition of Handwritten Digits")
LARGEST_PIXEL = 16


def load_digits(scale: str = "smoke", seed: int | None = None) -> ImageDataset:
    """Load the digits in stratified halves from seed 0: 898 training and 899 test images, the same at every scale.

    Normalised, pixels lie in [−1, 1] (pixel / 8 − 1), which every float type holds exactly.
    """
    from sklearn.datasets import load_digits as load_bunch
    from sklearn.model_selection import train_test_split

    bunch = load_bunch()
    images = bunch.images.astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.5, random_state=0, stratify=labels)
    return ImageDataset(
        name="digits",
        source="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits); stratified halves from "
        "seed 0; pixels scaled to [-1, 1]",
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        class_names=tuple(str(digit) for digit in range(10)),
        normalisation=Normalisation(mean=(0.5,), std=(0.5,), largest=LARGEST_PIXEL),
    )


DATASET = Dataset(
    name="digits",
    title="Handwritten digits (scikit-learn)",
    task="classification",
    get="nothing to do: it comes with scikit-learn",
    facts=lambda scale: {"input_shape": (8, 8, 1), "classes": 10},
    load=load_digits,
)
