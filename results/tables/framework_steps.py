"""The losses of every step of the same training in two frameworks, and of one framework against itself.

Rounding differs from the first step on, and training makes small differences larger; the question is whether two
frameworks part faster than one framework does from itself when nothing but the order of its sums changes.
"""

import math
import statistics

import numpy as np
import pandas

from results.records import step_losses
from results.records.record import Record
from results.tables.frameworks import Compared, Side, compared
from results.tables.table import Table

# the largest difference up to these steps is shown, and over the whole training
_UP_TO = (1, 10, 100)
# relative difference from which on losses count as parted
PARTED = 0.01

Steps = tuple[np.ndarray, np.ndarray]


def differences(first: Side, second: Side) -> dict[int, Steps]:
    """Seed to (steps, relative differences of the losses) of two frameworks' trainings."""
    by_seed = {}
    for seed in sorted(first.runs.keys() & second.runs.keys()):
        sides = [step_losses.read(side.runs[seed][0].details) for side in (first, second)]
        if None not in sides:
            by_seed[seed] = step_losses.relative_difference(*sides)
    return by_seed


def differences_to_itself(side: Side) -> dict[int, Steps]:
    """Seed to (steps, relative differences) of a training and its first repeat, whose batches have their rows reordered."""
    by_seed = {}
    for seed, records in sorted(side.runs.items()):
        sides = [step_losses.read(record.details) for record in records[:2]]
        if len(sides) == 2 and None not in sides:
            by_seed[seed] = step_losses.relative_difference(*sides)
    return by_seed


def of_cell(cell: Compared) -> dict[str, dict[int, Steps]]:
    """Everything that is compared in a cell, by its name: every two frameworks, then each one with itself."""
    runs = {f"{first.name} / {second.name}": differences(first, second) for first, second in cell.pairs}
    runs |= {f"{side.name} / itself": differences_to_itself(side) for side in cell.sides}
    return {name: by_seed for name, by_seed in runs.items() if by_seed}


def tables(records: list[Record]) -> list[Table]:
    """For each pair, data set, scale and dtype how far the losses lie apart; empty where no two frameworks keep them.

    Args:
        records: the newest record of each cell.
    """
    sections = []
    cells = compared(records)
    for section in dict.fromkeys(cell.section for cell in cells):
        shown, data = [], []
        for cell in (c for c in cells if c.section == section):
            for name, by_seed in of_cell(cell).items():
                largest, parted, count = _summary(by_seed)
                texts = [f"{value:.1e}" for value in largest]
                when = "never" if math.isinf(parted) else f"step {parted:.0f} of {count}"
                shown.append([cell.label, name, cell.teacher, str(len(by_seed)), *texts, when])
                columns = [*(f"largest_to_{step}" for step in _UP_TO), "largest"]
                data.append(
                    {
                        "section": section,
                        "method": cell.label,
                        "runs": name,
                        "teacher": cell.teacher,
                        "seeds": len(by_seed),
                        **dict(zip(columns, largest, strict=True)),
                        "parted": parted,
                        "steps": count,
                    }
                )
        if shown:
            names = [
                "method",
                "runs",
                "teacher",
                "seeds",
                *(f"to step {step}" for step in _UP_TO),
                "to the end",
                f"{PARTED:.0%} apart",
            ]
            frame = pandas.DataFrame(shown, columns=names)
            sections.append(Table(f"Step by step: {section}", frame, _note(shown), pandas.DataFrame(data)))
    return sections


def _summary(by_seed: dict[int, Steps]) -> tuple[list[float], float, int]:
    """Medians over seeds: the largest difference up to some steps and to the end, the step of parting; the last step."""
    largest = [
        statistics.median(float(apart[steps <= limit].max(initial=0.0)) for steps, apart in by_seed.values())
        for limit in (*_UP_TO, math.inf)
    ]
    parted = statistics.median(
        float(steps[np.argmax(apart > PARTED)]) if (apart > PARTED).any() else math.inf for steps, apart in by_seed.values()
    )
    return largest, parted, max(int(steps[-1]) for steps, _ in by_seed.values())


def _note(shown: list[list[str]]) -> str:
    note = (
        "Largest relative difference of a step's loss up to that step, and the first step with more than "
        f"{PARTED:.0%}: medians over seeds. Itself: the same training with the rows of each batch in another order, which "
        "changes fewer roundings than another framework's arithmetic does."
    )
    if any(row[2] == "own" for row in shown):
        note += (
            " Where each framework's students have a teacher of its `own`, losses differ from the first step on for that "
            "reason alone; `none` and `shared` show rounding."
        )
    if not any(row[1].endswith("/ itself") for row in shown):
        note += " No framework was run against itself: `--repeats 1` does it."
    return note
