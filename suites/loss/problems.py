"""The problems that the loss is timed on: their sizes and their logits."""

from dataclasses import dataclass

import numpy as np

from backends.common.arguments import DTYPE_BYTES
from reference import grid

# rows × classes: a batch of CIFAR-100, and a short batch of GPT-2's tokens
SIZES = ((64, 100), (512, 50257))
# its point where the user names none: of the example that the harness leads with
DEFAULT_ALPHA, DEFAULT_BETA = 0.8, 0.2
# standard deviation of the logits: confident rows, none of them degenerate
SPREAD = 3.0
# rows that differ; the others are the same with their classes rolled
BASE_ROWS = 16
# rows of the small problem that warms code up before the memory of a large one is measured
WARM_UP_ROWS = 8


@dataclass(frozen=True)
class Problem:
    """One timing problem, as the worker process gets it.

    Attributes:
        backend: whose loss.
        rows, classes: size of the logits.
        dtype: their float type.
        alpha, beta, temperature: of the divergence.
        device, threads: where, and with how many threads of the CPU.
        implementations: names of those that are timed.
    """

    backend: str
    rows: int
    classes: int
    dtype: str
    alpha: float
    beta: float
    temperature: float
    device: str
    threads: int
    implementations: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """Numbers in one array of logits."""
        return self.rows * self.classes

    def base(self) -> tuple[np.ndarray, np.ndarray]:
        """Student's and teacher's logits of the rows that differ: float32 `[at most BASE_ROWS, classes]`."""
        random = np.random.RandomState(0)  # its stream is frozen across NumPy versions
        shape = (min(BASE_ROWS, self.rows), self.classes)
        student, teacher = (SPREAD * random.standard_normal(shape) for _ in range(2))
        return grid.round_to(student, self.dtype), grid.round_to(teacher, self.dtype)

    def logits(self, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Student's and teacher's logits `[rows, classes]`: row r is base row r mod BASE_ROWS, rolled by r classes.

        The divergence does not care for the order of classes, so the reference need not look at every row of a large
        problem, and yet every number that was timed is compared with it.
        """
        rows = self.rows if rows is None else rows
        arrays = []
        for base in self.base():
            array = np.empty((rows, self.classes), base.dtype)
            for row in range(rows):
                array[row] = np.roll(base[row % len(base)], row)
            arrays.append(array)
        return arrays[0], arrays[1]


def minimum_bytes_per_element(dtype: str) -> int:
    """Bytes that cannot be avoided: both logits read once and one gradient written, rows on chip."""
    return 3 * DTYPE_BYTES[dtype]
