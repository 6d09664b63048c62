"""What a sweep will do: its settings, which of their cells are finished, and the time the others take."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from suites import keys, plan
from suites.cell import Cell, number_word
from suites.distill import cells as distill_cells
from suites.distill import numbers
from suites.distill.suite import SUITE
from suites.plan import PlannedCell
from suites.selection import Range, Selection, Sweep
from suites.suite import Context
from suites.sweep.space import propose

if TYPE_CHECKING:
    from results.records.record import Record

# parameters that every label states already
_STATED = ("alpha", "beta")
# more values of a parameter than this are told by their number and limits
_MOST_VALUES = 12


@dataclass(frozen=True)
class SweepPlan:
    """A sweep.

    Attributes:
        name: digest of its cells' keys in their order, and of how it stops early: the same command has the same name.
        sweep: how settings are searched.
        cells: teachers first, then students seed by seed.
        varying: values of the parameters that the settings differ in, and of the training's numbers.
    """

    name: str
    sweep: Sweep
    cells: list[PlannedCell]
    varying: dict[str, list[Any]]

    @property
    def students(self) -> list[PlannedCell]:
        """The cells that settings are judged by."""
        return [planned for planned in self.cells if planned.cell.method != distill_cells.TEACHER]


def make_plan(selection: Selection, context: Context) -> SweepPlan:
    """Look up every cell of a sweep in the store."""
    cells = _cells(selection, context)
    students = [cell for cell in cells if cell.method != distill_cells.TEACHER]
    varying = _varying(students)
    early_stop = selection.sweep.early_stop
    name = "sweep-" + keys.digest({"keys": [SUITE.key(c, context) for c in students], "early_stop": early_stop})[:16]
    earlier = plan.Earlier.of(context)
    of_sweep = functools.partial(counts, sweep=name)
    planned = [replace(plan.look_up(SUITE, cell, context, earlier, of_sweep), note=_note(cell, varying)) for cell in cells]
    return SweepPlan(name, selection.sweep, planned, varying)


def counts(record: "Record", sweep: str) -> bool:
    """Whether a record is that of a cell which the sweep of this name need not run."""
    return record.status in plan.FINISHED or record.details.get("pruned", {}).get("sweep") == sweep


def setting(cell: Cell) -> Cell:
    """What all seeds of a setting share."""
    return replace(cell, seed=None)


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """Cells of the suite "distill" without its traces: teachers, then the students of each seed.

    Where settings compete they are shuffled, always in the same way: a grid begins with all that is alike.
    """
    every = dict.fromkeys(
        cell for choice in _choices(selection) for cell in distill_cells.cells(choice, context) if cell.scale == selection.scale
    )
    shuffled = selection.sweep.early_stop is not None

    def order(cell: Cell) -> tuple[int, str]:
        if cell.method == distill_cells.TEACHER:
            return -1, ""
        return cell.seed, keys.digest(setting(cell).as_dict()) if shuffled else ""

    return sorted(every, key=order)


def _choices(selection: Selection) -> Iterator[Selection]:
    """The selection itself for a grid; for a random search one for each proposal."""
    if selection.sweep.sampler == "grid":
        yield selection
        return
    space: dict[str, Any] = {"alpha": selection.alphas, "beta": selection.betas, **selection.parameters}
    space = {name: values for name, values in space.items() if values} | dict(selection.sweep.ranges)
    for proposal in propose(space, selection.sweep.trials, selection.sweep.sampler_seed):
        lists = {name: (value,) for name, value in proposal.items()}
        yield replace(
            selection,
            alphas=lists.pop("alpha", ()),
            betas=lists.pop("beta", ()),
            temperatures=(),
            distill_weights=(),
            hard_weights=(),
            settings=tuple(lists.items()),
        )


def _varying(students: list[Cell]) -> dict[str, list[Any]]:
    values: dict[str, dict[Any, None]] = {}
    changed = dict.fromkeys(name for cell in students for name, _ in cell.numbers)
    for cell in students:
        usual = {name: numbers.usual(cell, name) for name in changed}
        for name, value in (*cell.options, *(usual | dict(cell.numbers)).items()):
            values.setdefault(name, {})[value] = None
    return {name: sorted(distinct) for name, distinct in values.items() if len(distinct) > 1}


def _note(cell: Cell, varying: dict[str, list[Any]]) -> str:
    parts = [
        f"{name.replace('_', ' ')} {_word(cell.option(name))}"
        for name in varying
        if name not in _STATED and cell.option(name) is not None  # labels state the numbers of a training
    ]
    return ", ".join(parts)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else number_word(value)


def describe(sweep: SweepPlan, at_once: int) -> str:
    """The plan in words: what is searched, cells by what has become of them, and the time with `at_once` side by side."""
    students = sweep.students
    settings = dict.fromkeys(setting(planned.cell) for planned in students)
    seeds = len({planned.cell.seed for planned in students})
    how = "grid" if sweep.sweep.sampler == "grid" else f"random search (seed {sweep.sweep.sampler_seed})"
    lines = [f"{sweep.name}: {how} of {len(settings)} settings × {seeds} seed{'s' * (seeds > 1)}"]
    ranges = dict(sweep.sweep.ranges)
    for name, values in sweep.varying.items():
        lines.append(f"  {name.replace('_', ' ')}: {values_in_words(values, ranges.get(name))}")
    if sweep.sweep.early_stop:
        lines.append(
            f"  early stopping: on the first seed the best 1/{sweep.sweep.early_stop} of the settings go on at a rung; the "
            "other seeds of stopped settings are not run"
        )
    lines.append(plan.describe(sweep.cells, _group))
    seconds = _seconds(sweep.cells, at_once)
    if seconds:
        at_most = "at most " if sweep.sweep.early_stop else ""
        lines.append(f"{at_most}about {plan.duration(seconds)} with {at_once} cell{'s' * (at_once > 1)} at a time")
    return "\n".join(lines)


def _group(planned: PlannedCell) -> str:
    cell = planned.cell
    return f"{cell.dataset} {cell.pair} {cell.method}"


def values_in_words(values: list[Any], bounds: Range | None = None) -> str:
    """A few values one by one, more by their number and limits."""
    if bounds is None and len(values) <= _MOST_VALUES:
        return ", ".join(map(_word, values))
    limits = f"from {bounds.low:g} to {bounds.high:g}" if bounds else f"from {_word(values[0])} to {_word(values[-1])}"
    return f"{len(values)} values {limits}"


def _seconds(planned: list[PlannedCell], at_once: int) -> float:
    """Teachers come one after the other, students side by side."""
    teachers = sum(cell.seconds for cell in planned if cell.cell.method == distill_cells.TEACHER)
    return teachers + (sum(cell.seconds for cell in planned) - teachers) / at_once
