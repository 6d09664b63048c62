"""What `train_student` of every backend asks of its batches and learning rate."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from backends.arguments import check_number


def check_batches(batches: Iterable[Any], epochs: int) -> None:
    """Check that `batches` can be gone through `epochs` times.

    Raises:
        ValueError: epochs is not a positive whole number, or an iterator that one epoch would use up.
        TypeError: not iterable.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is not allowed; a whole number of at least 1 is")
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


def rate_schedule(
    learning_rate: float | Callable[[int], float] | None, optimizer: Any
) -> Callable[[int], float] | None:
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


def split_compile_time(first_seconds: float, step_seconds: list[float]) -> float:
    """Seconds of the first step beyond the median of the others: tracing, compiling, warming up."""
    if not step_seconds:
        return 0.0
    return max(0.0, first_seconds - sorted(step_seconds)[len(step_seconds) // 2])
