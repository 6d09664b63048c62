"""What `train_student` of every backend asks of its batches and learning rate."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from ..arguments import check_number


class ConvertedBatches:
    """Batches whose pairs go through a function; the functions of this module see the original behind it.

    Args:
        batches: iterable of (inputs, labels).
        convert: (inputs, labels) → (inputs, labels).
    """

    def __init__(self, batches: Iterable[Any], convert: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self.batches, self.convert = batches, convert

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self.convert(*batch_pair(batch)) for batch in self.batches)


def check_batches(batches: Iterable[Any], epochs: int) -> None:
    """Check that `batches` can be gone through `epochs` times.

    Raises:
        ValueError: epochs is not a positive whole number, or an iterator that one epoch would use up.
        TypeError: not iterable.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is not allowed; a whole number of at least 1 is")
    batches = _original(batches)
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches is a {type(batches).__name__}; an iterable of (inputs, labels) is needed")
    if isinstance(batches, Iterator) and epochs > 1:
        raise ValueError(
            f"batches is a one-shot iterator ({type(batches).__name__}) and epochs={epochs}: the second epoch would be "
            "empty. Pass a list, a data loader or another object that can be iterated over again"
        )


def batch_pair(batch: Any) -> tuple[Any, Any]:
    """Return (inputs, labels) of one batch, or raise a ValueError that says what came instead."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(f"a batch is a {type(batch).__name__}; each must be a pair (inputs, labels)")
    return batch[0], batch[1]


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


def epoch_batches(batches: Iterable[Any], epoch: int, start: int = 0) -> Iterator[tuple[Any, Any]]:
    """Pairs of an epoch from batch `start` on.

    Batches with a method `epoch(epoch, start)` are asked by it; those that count epochs in an attribute `epoch` have it
    set; of others the first `start` are left out.
    """
    original = _original(batches)
    if callable(getattr(original, "epoch", None)):
        pairs = original.epoch(epoch, start)
    else:
        if isinstance(getattr(original, "epoch", None), int):
            original.epoch = epoch  # type: ignore[attr-defined]
        pairs = islice(original, start, None) if start else iter(original)
    if isinstance(batches, ConvertedBatches):
        return (batches.convert(*batch_pair(batch)) for batch in pairs)
    return map(batch_pair, pairs)


def _original(batches: Any) -> Any:
    return batches.batches if isinstance(batches, ConvertedBatches) else batches


def rate_schedule(learning_rate: float | Callable[[int], float] | None, optimizer: Any) -> Callable[[int], float] | None:
    """Return the learning rate as a function of the step, or None where the user's optimizer has its own.

    Raises:
        ValueError: both or neither of `learning_rate` and `optimizer`, or a rate that is not a positive number.
    """
    if (learning_rate is None) == (optimizer is None):
        raise ValueError(
            f"learning_rate={learning_rate!r} and optimizer={optimizer!r}: give exactly one of them "
            "(learning_rate alone means SGD with the arguments momentum and weight_decay)"
        )
    if learning_rate is None:
        return None
    if callable(learning_rate):
        return learning_rate
    rate = check_number("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate={learning_rate!r} is not allowed; it must be greater than 0")
    return lambda step: rate
