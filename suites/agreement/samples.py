"""What a backend is compared on: golden cases, and random rows that no one has looked at before."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reference.catalogue import Divergence
from reference.golden import compute
from reference.grid import TEMPERATURES, draw_logits

RANDOM_ROWS = 10_000
# classes of the random rows; few, so that compilers see few shapes. Rows of 2 are held as rows of 10, the others −inf
RANDOM_CLASSES = (2, 10, 100)
FEWEST_CLASSES = 10
RANDOM_SPREADS = ("1", "10", "100", "near")
ROWS_AT_ONCE = 250


@dataclass(frozen=True)
class Sample:
    """Logits of one call and the right answers.

    Attributes:
        parameters, temperature: of the divergence.
        spread: of the logits.
        student, teacher: logits `[rows, classes]`.
        value: `[rows]`.
        index: classes whose gradient entries are known `[rows, entries]`.
        entries: those entries.
        largest: the largest entry of each row's gradient `[rows]`.
        random: whether it is one of the random rows.
    """

    parameters: dict[str, float]
    temperature: float
    spread: str
    student: np.ndarray
    teacher: np.ndarray
    value: np.ndarray
    index: np.ndarray
    entries: np.ndarray
    largest: np.ndarray
    random: bool

    @property
    def description(self) -> dict[str, object]:
        """What identifies the sample in a record."""
        return {
            **self.parameters,
            "temperature": self.temperature,
            "classes": self.student.shape[-1],
            "spread": self.spread,
            "rows": len(self.student),
            "random": self.random,
        }


def golden_samples(divergence: Divergence, dtype: str) -> Iterator[Sample]:
    """The golden cases of a divergence for one type of logits; those of the same parameters stand together."""
    cases = compute.load(divergence.name, dtype=dtype)
    inputs: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # many cases share them
    for case in sorted(cases, key=lambda case: (case.classes, case.temperature, tuple(case.parameters.values()))):
        if case.digest not in inputs:
            inputs[case.digest] = case.inputs()
        yield Sample(
            case.parameters,
            case.temperature,
            case.spread,
            *inputs[case.digest],
            case.value,
            case.gradient_index,
            case.gradient_entries,
            case.gradient_max,
            False,
        )


def random_samples(divergence: Divergence, dtype: str, rows: int = RANDOM_ROWS) -> Iterator[Sample]:
    """Random rows with random parameters of the divergence's own range, answered by the NumPy reference.

    Parameters are continuous and not of the golden grid; classes and spread take turns. Of a divergence that switches,
    rows next to a switch, which precisions decide differently, are left out; more are drawn instead.
    """
    random = np.random.RandomState(1)
    for number in range(-(-rows // ROWS_AT_ONCE)):
        count = min(ROWS_AT_ONCE, rows - number * ROWS_AT_ONCE)
        parameters = {name: float(random.uniform(*divergence.range(name))) for name in divergence.parameters}
        temperature = float(random.choice(TEMPERATURES))
        classes = RANDOM_CLASSES[number % len(RANDOM_CLASSES)]
        spread = RANDOM_SPREADS[number // len(RANDOM_CLASSES) % len(RANDOM_SPREADS)]
        drawn = count if divergence.margin is None else 3 * count // 2
        student, teacher = draw_logits(classes, spread, dtype, drawn, 10_000 + number)
        if divergence.margin is not None:
            clear = np.flatnonzero(divergence.margin(student, teacher, **parameters, temperature=temperature))[:count]
            student, teacher = student[clear], teacher[clear]
        forbidden = ((0, 0), (0, max(FEWEST_CLASSES - classes, 0)))
        student, teacher = (np.pad(logits, forbidden, constant_values=-np.inf) for logits in (student, teacher))
        value, gradient = divergence.reference(
            student, teacher, *parameters.values(), temperature=temperature, reduction="none"
        )
        index = np.broadcast_to(np.arange(gradient.shape[-1]), gradient.shape)
        largest = np.abs(gradient).max(axis=-1)
        yield Sample(parameters, temperature, spread, student, teacher, value, index, gradient, largest, True)
