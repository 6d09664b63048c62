"""Batches that depend on seed, epoch and step alone, so that every backend, and a resumed training, sees the same ones."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from suites.datasets.images import ImageDataset
from suites.streams import WORDS_PER_COUNT, raw_stream
from suites.tasks.classification.augmentation import Augmentation

Batch = tuple[np.ndarray, np.ndarray]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of `count` examples in an epoch: int64 `[count]`, a permutation.

    A stream of random words is sorted rather than handed to `Generator.permutation`, whose algorithm NumPy may change.
    """
    return np.argsort(raw_stream("order", seed, epoch, count), kind="stable")


class Batches:
    """Training batches of a data set.

    `epoch(e, start=k)` gives the batches of epoch e from the k-th on, without making those before. Iterating gives epoch
    after epoch, from epoch 0 on. A batch is (images, labels): network inputs
    of the data set's normalisation `[batch, height, width, channels]`, and int64 `[batch]`; its arrays are new and the
    caller's to keep. The examples left over after the last full batch are dropped, as in the published recipes.

    Args:
        dataset: where images and labels come from.
        batch_size: examples in a batch, at least 1.
        seed: of order and augmentation.
        dtype: NumPy float type of the images.
        steps: stop after so many batches of an epoch; None goes through all of them.
        augmentation: crops and flips; None leaves the images as they are.
        repeat: 0, or a number for the same batches with their rows in another order: sums are rounded otherwise, and
            nothing else differs.

    Raises:
        ValueError: a batch size that is not allowed.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        seed: int,
        *,
        dtype: str = "float32",
        steps: int | None = None,
        augmentation: Augmentation | None = None,
        repeat: int = 0,
    ) -> None:
        count = len(dataset.train)
        if not 1 <= batch_size <= count:
            raise ValueError(f"batch_size={batch_size!r} is not allowed; 1 to {count} fit data set {dataset.name!r}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.dtype = dtype
        self.augmentation = augmentation
        self.repeat = repeat
        full = count // batch_size
        self.steps = full if steps is None else min(steps, full)
        self.next_epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        self.next_epoch += 1
        return self.epoch(self.next_epoch - 1)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, … of an epoch.

        Raises:
            ValueError: a negative epoch, or a start outside 0 to the number of batches.
        """
        if epoch < 0 or not 0 <= start <= self.steps:
            raise ValueError(
                f"epoch={epoch!r} must be 0 or greater, start={start!r} must be 0 to {self.steps}, the batches of an epoch"
            )
        return self._made(epoch, start)

    def _made(self, epoch: int, start: int) -> Iterator[Batch]:
        train = self.dataset.train
        order = epoch_order(len(train), self.seed, epoch)
        draws = self.augmentation.draws(self.seed, epoch, len(train)) if self.augmentation else None
        if self.repeat:
            order = self._rows_reordered(order, epoch)
        for step in range(start, self.steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            images = train.images[rows]
            if draws is not None:
                images = self.augmentation.apply(images, draws.of(rows))
            yield self.dataset.normalisation(images, self.dtype), train.labels[rows]

    def _rows_reordered(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """The order with the same rows in each batch, in another sequence."""
        stride = -(-len(order) // WORDS_PER_COUNT) * WORDS_PER_COUNT
        words = raw_stream("rows", self.seed, epoch, len(order), first=stride * (self.repeat - 1))
        batch = np.arange(len(order)) // self.batch_size
        return order[np.lexsort((words, batch))]


def training_batches(
    numbers: Mapping[str, Any],
    data: ImageDataset,
    seed: int,
    dtype: str = "float32",
    *,
    steps: int | None = None,
    repeat: int = 0,
) -> Batches:
    """Batches of a training: `batch_size` images, cropped (`pad`) and flipped (`flip`) as its recipe says."""
    augmentation = Augmentation(numbers.get("pad", 0), numbers.get("flip", False))
    return Batches(
        data,
        numbers["batch_size"],
        seed,
        dtype=dtype,
        steps=steps,
        augmentation=augmentation if augmentation != Augmentation() else None,
        repeat=repeat,
    )
