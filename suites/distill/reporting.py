"""Batches that say how far a training is while they are handed out, so that a long cell shows the time that is left."""

from collections.abc import Callable, Iterator
from typing import Any

from backends.common.training.batches import Batch, Batches


class Reported:
    """The batches of all epochs, as `train_student` asks for them.

    Args:
        batches: where they come from.
        epochs: of the whole training.
        report: called before each batch with the share of the training, 0 to 1, that is done.
    """

    def __init__(self, batches: Batches, epochs: int, report: Callable[[float], None]) -> None:
        self.batches, self.epochs, self.report = batches, epochs, report

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        """What else the batches have: those that are made with the student have `begin`, `after_epoch`, `state`, `restore`."""
        return getattr(self.batches, name)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, … of an epoch."""
        total = self.epochs * len(self)
        for step, batch in enumerate(self.batches.epoch(epoch, start), start=start):
            self.report((epoch * len(self) + step) / total)
            yield batch
