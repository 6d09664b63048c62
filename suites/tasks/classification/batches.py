"""Batches that depend on seed, epoch and step alone, so that every backend, and a resumed training, sees the same ones."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from suites.datasets.dataset import ImageDataset
from suites.streams import WORDS_PER_COUNT, raw_stream
from suites.tasks.classification.augmentation import Augmentation

# order of an image's axes: as TensorFlow and JAX have it by default, and as PyTorch has it
LAYOUTS = ("NHWC", "NCHW")
PREFETCHED = 2

Batch = tuple[np.ndarray, np.ndarray]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of `count` examples in an epoch: int64 `[count]`, a permutation.

    A stream of random words is sorted rather than handed to `Generator.permutation`, whose algorithm NumPy may change.
    """
    return np.argsort(raw_stream("order", seed, epoch, count), kind="stable")


class Batches:
    """Training batches of a data set.

    `epoch(e, start=k)` gives the batches of epoch e from the k-th on, without making those before. Iterating gives epoch
    after epoch: the first pass is epoch 0, or the one that `resume` names. A batch is (images, labels): network inputs
    of the data set's normalisation, and int64 `[batch]`; its arrays are new and the caller's to keep. The examples left
    over after the last full batch are dropped, as in the published recipes.

    Args:
        dataset: where images and labels come from.
        batch_size: examples in a batch, at least 1.
        seed: of order and augmentation.
        dtype: NumPy float type of the images.
        steps: stop after so many batches of an epoch; None goes through all of them.
        augmentation: crops and flips; None leaves the images as they are.
        layout: "NHWC" for images `[batch, height, width, channels]`, "NCHW" for `[batch, channels, height, width]`.
        repeat: 0, or a number for the same batches with their rows in another order: sums are rounded otherwise, and
            nothing else differs.
        prefetch: make the next batches in a thread while the caller computes.

    Raises:
        ValueError: a batch size or a layout that is not allowed.
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
        layout: str = "NHWC",
        repeat: int = 0,
        prefetch: bool = False,
    ) -> None:
        count = len(dataset.train)
        if not 1 <= batch_size <= count:
            raise ValueError(f"batch_size={batch_size!r} is not allowed; 1 to {count} fit data set {dataset.name!r}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.dtype = dtype
        self.augmentation = augmentation
        self.layout = _check_layout(layout)
        self.repeat = repeat
        self.prefetch = prefetch
        full = count // batch_size
        self.steps = full if steps is None else min(steps, full)
        self.resume(0)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def resume(self, epoch: int, step: int = 0) -> None:
        """Let the next pass be the rest of `epoch`, from batch `step` on."""
        self.next_epoch, self.next_step = epoch, step

    def __iter__(self) -> Iterator[Batch]:
        epoch, step = self.next_epoch, self.next_step
        self.resume(epoch + 1)
        return self.epoch(epoch, step)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, … of an epoch.

        Raises:
            ValueError: a negative epoch, or a start outside 0 to the number of batches.
        """
        if epoch < 0 or not 0 <= start <= self.steps:
            raise ValueError(
                f"epoch={epoch!r} must be 0 or greater, start={start!r} must be 0 to {self.steps}, the batches of an epoch"
            )
        batches = self._made(epoch, start)
        return prefetched(batches) if self.prefetch else batches

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
            yield _inputs(self.dataset, images, self.dtype, self.layout), train.labels[rows]

    def _rows_reordered(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """The order with the same rows in each batch, in another sequence."""
        stride = -(-len(order) // WORDS_PER_COUNT) * WORDS_PER_COUNT
        words = raw_stream("rows", self.seed, epoch, len(order), first=stride * (self.repeat - 1))
        batch = np.arange(len(order)) // self.batch_size
        return order[np.lexsort((words, batch))]


def evaluation_batches(
    dataset: ImageDataset,
    batch_size: int,
    *,
    split: str = "test",
    images: np.ndarray | None = None,
    dtype: str = "float32",
    layout: str = "NHWC",
) -> Iterator[Batch]:
    """All examples of a split in their order, not augmented; the last batch may be smaller.

    Args:
        dataset: where images and labels come from.
        batch_size: examples in a batch, at least 1.
        split: "test" or "train".
        images: uint8, taken in place of the split's own, such as corrupted ones.
        dtype, layout: as of `Batches`.

    Raises:
        ValueError: a batch size, split or layout that is not allowed, or images of another shape.
    """
    if batch_size < 1 or split not in ("test", "train"):
        raise ValueError(f"batch_size={batch_size!r} must be at least 1, split={split!r} one of test, train")
    _check_layout(layout)
    part = getattr(dataset, split)
    images = part.images if images is None else images
    if images.shape != part.images.shape or images.dtype != np.uint8:
        raise ValueError(f"images is {images.dtype} {images.shape}; uint8 {part.images.shape} is needed")
    return (
        (_inputs(dataset, images[first : first + batch_size], dtype, layout), part.labels[first : first + batch_size])
        for first in range(0, len(part), batch_size)
    )


def _inputs(dataset: ImageDataset, images: np.ndarray, dtype: str, layout: str) -> np.ndarray:
    normalise = dataset.normalisation
    return normalise(images, dtype) if layout == "NHWC" else normalise.channels_first(images, dtype)


def _check_layout(layout: str) -> str:
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r} is not known; choose one of {', '.join(LAYOUTS)}")
    return layout


def prefetched(items: Iterable[Any], ahead: int = PREFETCHED) -> Iterator[Any]:
    """The same items, made in a thread up to `ahead` of the caller; what making them raises is raised here.

    The thread ends with the items, with an error, and when the caller drops this iterator.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=max(1, ahead))
    stop = threading.Event()

    def hand_over(kind: str, value: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                hand_over("item", item)
                if stop.is_set():
                    return
            hand_over("end", None)
        except BaseException as error:  # it belongs to the caller, not to this thread
            hand_over("error", error)

    thread = threading.Thread(target=make, name="batches", daemon=True)
    thread.start()
    try:
        while (entry := ready.get())[0] == "item":
            yield entry[1]
        if entry[0] == "error":
            raise entry[1]
    finally:
        stop.set()
        thread.join()
