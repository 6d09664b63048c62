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


def read(record: Record) -> Steps | None:
    """The step losses that a record keeps; None where it keeps none, or something else in their place."""
    try:
        return step_losses.read(record.details)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def differences(first: Side, second: Side) -> dict[int, Steps]:
    """Seed to (steps, relative differences of the losses) of two frameworks' trainings."""
    by_seed = {}
    for seed in sorted(first.runs.keys() & second.runs.keys()):
        sides = [read(side.runs[seed][0]) for side in (first, second)]
        if None not in sides:
            by_seed[seed] = step_losses.relative_difference(*sides)
    return by_seed


def differences_to_itself(side: Side) -> dict[int, Steps]:
    """Seed to (steps, relative differences) of a training and its first repeat, whose batches have their rows reordered."""
    by_seed = {}
    for seed, records in sorted(side.runs.items()):
        sides = [read(record) for record in records[:2]]
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
                of_runs = {"method": cell.label, "runs": name, "teacher": cell.teacher}
                shown.append(
                    of_runs
                    | {"seeds": str(len(by_seed))}
                    | {f"to step {step}": f"{value:.1e}" for step, value in zip(_UP_TO, largest, strict=False)}
                    | {"to the end": f"{largest[-1]:.1e}"}
                    | {f"{PARTED:.0%} apart": "never" if math.isinf(parted) else f"step {parted:.0f} of {count}"}
                )
                data.append(
                    {"section": section, **of_runs, "seeds": len(by_seed)}
                    | {f"largest_to_{step}": value for step, value in zip(_UP_TO, largest, strict=False)}
                    | {"largest": largest[-1], "parted": parted, "steps": count}
                )
        if shown:
            table = Table(f"Step by step: {section}", pandas.DataFrame(shown), _note(shown), pandas.DataFrame(data))
            sections.append(table)
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


def _note(shown: list[dict[str, str]]) -> str:
    note = (
        "Largest relative difference of a step's loss up to that step, and the first step with more than "
        f"{PARTED:.0%}: medians over seeds. Itself: the same training with the rows of each batch in another order, which "
        "changes fewer roundings than another framework's arithmetic does."
    )
    if any(row["teacher"] == "own" for row in shown):
        note += (
            " Where each framework's students have a teacher of its `own`, losses differ from the first step on for that "
            "reason alone; `none` and `shared` show rounding."
        )
    if not any(row["runs"].endswith("/ itself") for row in shown):
        note += " No framework was run against itself: `--repeats 1` does it."
    return note
