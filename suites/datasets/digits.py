"""Handwritten digits of scikit-learn: 1,797 real images of 8 × 8 pixels, in every installation."""

import numpy as np

from suites.datasets.base import ImageDataset

#: pixels count 0 to 16 dark points of a 4 × 4 block (UCI, "Optical Recognition of Handwritten Digits")
LARGEST_PIXEL = 16.0


def load_digits() -> ImageDataset:
    """Load the digits in stratified halves from seed 0: 898 training and 899 test images.

    Pixels are scaled to [−1, 1] (pixel / 8 − 1), which every float type holds exactly.
    """
    from sklearn.datasets import load_digits as load_bunch
    from sklearn.model_selection import train_test_split

    bunch = load_bunch()
    images = (bunch.images / (LARGEST_PIXEL / 2) - 1).astype(np.float32)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.5, random_state=0, stratify=labels)
    return ImageDataset(
        name="digits",
        source="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits); stratified halves from "
        "seed 0; pixels scaled to [-1, 1]",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        classes=10,
    )
