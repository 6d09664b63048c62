"""What `train_student` of every backend asks of its batches.

A batch is (inputs, targets), or (inputs, targets, beside) where the method has a part beside, which is (inputs, targets)
again; each of them is an array or a nested structure of arrays. Targets of classification are the labels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

import numpy as np

Batch = tuple[Any, ...]


class Batches(Protocol):
    """Batches that can be asked for those of any epoch, so that a killed training goes on within one."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, from batch `start` on: the same each time."""


class LiveBatches(Batches, Protocol):
    """Batches made with the student as it is at that step, one at a time; the loop keeps their state in checkpoints."""

    def begin(self, ask: Callable[..., Any]) -> None:
        """Take the function that asks the student; called before anything else.

        Args:
            ask: `train_student`'s `ask` without its first two arguments; by default `ask(inputs)` returns the student's
                outputs in evaluation mode. It may be called while a batch is made, not later.
        """

    def after_epoch(self, metrics: Mapping[str, float]) -> None:
        """Learn how the student did: "train/loss" and what `on_epoch` returned."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that later batches depend on, as arrays and plain data, after the last batch that was taken."""

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""


class ConvertedBatches:
    """Batches whose pairs go through a function; the functions of this module see the original behind it.

    Args:
        batches: iterable of batches.
        convert: (inputs, targets) → (inputs, targets), of a batch and of its part beside.
    """

    def __init__(self, batches: Iterable[Any], convert: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self.batches, self.convert = batches, convert

    def __iter__(self) -> Iterator[Batch]:
        return map(self.converted, self.batches)

    def converted(self, batch: Any) -> Batch:
        """One batch, its parts converted."""
        inputs, targets, *beside = check_batch(batch)
        return (*self.convert(inputs, targets), *(self.convert(*part) for part in beside))


def check_batches(batches: Iterable[Any], epochs: int) -> None:
    """Check that `batches` can be gone through `epochs` times.

    Raises:
        ValueError: epochs is not a positive whole number, or an iterator that one epoch would use up.
        TypeError: not iterable.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is not allowed; a whole number of at least 1 is")
    batches = _original(batches)
    if not (isinstance(batches, Iterable) or callable(getattr(batches, "epoch", None))):
        raise TypeError(f"batches is a {type(batches).__name__}; an iterable of (inputs, labels) is needed")
    if isinstance(batches, Iterator) and epochs > 1:
        raise ValueError(
            f"batches is a one-shot iterator ({type(batches).__name__}) and epochs={epochs}: the second epoch would be "
            "empty. Pass a list, a data loader or another object that can be iterated over again"
        )


def check_batch(batch: Any) -> Batch:
    """Return a batch as a tuple, or raise a ValueError that says what came instead."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else ()
    whole = len(parts) == 2 or (len(parts) == 3 and isinstance(parts[2], (tuple, list)) and len(parts[2]) == 2)
    if not whole:
        raise ValueError(
            f"a batch is a {type(batch).__name__}; each must be a pair (inputs, labels), or (inputs, labels, beside) with "
            "another pair beside"
        )
    return parts if len(parts) == 2 else (*parts[:2], tuple(parts[2]))


def map_arrays(function: Callable[[Any], Any], structure: Any) -> Any:
    """A structure of dicts, tuples and lists with the function's values in place of its arrays."""
    if isinstance(structure, Mapping):
        return {name: map_arrays(function, value) for name, value in structure.items()}
    if isinstance(structure, (tuple, list)):
        return type(structure)(map_arrays(function, value) for value in structure)
    return function(structure)


def batches_per_epoch(batches: Iterable[Any]) -> int | None:
    """Number of batches in an epoch, None where they do not know it."""
    try:
        return len(_original(batches))  # type: ignore[arg-type]
    except TypeError:  # a generator, or a data set of unknown or infinite length
        return None


def knows_epochs(batches: Iterable[Any]) -> bool:
    """Whether the batches of any epoch can be asked for: `batches.epoch(epoch, start)`, or a list, always the same."""
    original = _original(batches)
    return isinstance(original, (list, tuple)) or callable(getattr(original, "epoch", None))


def live_batches(batches: Iterable[Any]) -> LiveBatches | None:
    """The batches where they are made with the student, else None."""
    original = _original(batches)
    return original if callable(getattr(original, "begin", None)) else None


def epoch_batches(batches: Iterable[Any], epoch: int, start: int = 0) -> Iterator[Batch]:
    """Batches of an epoch from batch `start` on.

    Batches with a method `epoch(epoch, start)` are asked by it; those that count epochs in an attribute `epoch` have it
    set; of others the first `start` are left out.
    """
    original = _original(batches)
    if callable(getattr(original, "epoch", None)):
        chosen = original.epoch(epoch, start)
    else:
        if isinstance(getattr(original, "epoch", None), int):
            original.epoch = epoch  # type: ignore[attr-defined]
        chosen = islice(original, start, None) if start else iter(original)
    return map(batches.converted if isinstance(batches, ConvertedBatches) else check_batch, chosen)


def _original(batches: Any) -> Any:
    return batches.batches if isinstance(batches, ConvertedBatches) else batches
