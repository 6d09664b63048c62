"""Batches in an order that depends on seed and epoch alone, so that every backend sees the same ones."""

from collections.abc import Iterator

import numpy as np

from suites.datasets.base import ImageDataset


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of `count` examples in an epoch: int64 `[count]`, a permutation.

    The counter-based generator Philox (Salmon et al., 2011) is keyed by (seed, epoch). Its raw stream is sorted rather
    than handed to `Generator.permutation`: NumPy freezes the raw streams of its bit generators, not its algorithms.
    """
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed={seed!r} and epoch={epoch!r} must both be 0 or greater")
    key = np.array([seed, epoch], dtype=np.uint64)
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")


class Batches:
    """Training batches of a data set, a new order every time that they are gone through.

    Iterating gives (images `[batch, height, width, channels]`, labels `[batch]`). The first pass is epoch 0, the next
    epoch 1, and so on. The examples left over after the last full batch are dropped, as in the published recipes.

    Args:
        dataset: where images and labels come from.
        batch_size: examples in a batch, at least 1.
        seed: of the order.
        dtype: NumPy float type of the images.
        steps: stop after so many batches of an epoch; None goes through all of them.
    """

    def __init__(
        self, dataset: ImageDataset, batch_size: int, seed: int, *, dtype: str = "float32", steps: int | None = None
    ) -> None:
        count = len(dataset.train_labels)
        if not 1 <= batch_size <= count:
            raise ValueError(f"batch_size={batch_size!r} is not allowed; 1 to {count} fit data set {dataset.name!r}")
        self.images = dataset.train_images.astype(dtype)
        self.labels = dataset.train_labels
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        full = count // batch_size
        self.steps = full if steps is None else min(steps, full)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = epoch_order(len(self.labels), self.seed, self.epoch)
        self.epoch += 1
        for step in range(self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.images[chosen], self.labels[chosen]
