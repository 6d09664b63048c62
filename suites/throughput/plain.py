"""What the plain training loops of the three frameworks hand to the worker."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """What the plain loops train on.

    Attributes:
        batches: (inputs, labels) as the harness makes them, one for each step of a round: float32
            `[batch, height, width, channels]`, int64 `[batch]`.
        pixels, labels: of the whole data set, uint8 `[images, height, width, channels]`, int64 `[images]`.
        mean, std: of its pixels scaled to [0, 1].
    """

    batches: list[tuple[np.ndarray, np.ndarray]]
    pixels: np.ndarray
    labels: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Plain:
    """Training loops as users of a framework write them, with its own layers, optimizer and losses.

    Attributes:
        loops: by name; a call makes the steps of a round and returns when the device has finished.
        loss: (student's logits, teacher's logits, labels) → the training loss of these arrays.
        parameters: numbers of trained parameters of teacher and student.
    """

    loops: dict[str, Callable[[], None]]
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    parameters: tuple[int, int]
