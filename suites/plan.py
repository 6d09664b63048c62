"""What a command will do: cells to run, cells that are finished, cells that cannot run, and the time it takes."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suites import keys
from suites.cell import Cell
from suites.selection import Selection
from suites.suite import Context, Suite

if TYPE_CHECKING:
    from results.records.record import Record

# a record with another status is of a cell that is run again
FINISHED = ("ok", "diverged")


@dataclass(frozen=True)
class PlannedCell:
    """One cell and what will become of it.

    Attributes:
        suite: whose cell.
        cell: what is measured.
        key, timing_key: of its record.
        state: "run", "finished" or "impossible".
        status, reason: of a cell that cannot run.
        record: of a cell that is finished.
        seconds: estimated time, 0 where it is not run.
        begun: what an interrupted run of the cell has left, and whether it is used.
        note: further words that tell the cell apart on the screen.
    """

    suite: Suite
    cell: Cell
    key: str
    timing_key: str
    state: str
    status: str = ""
    reason: str = ""
    record: "Record | None" = None
    seconds: float = 0.0
    begun: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """One short line for people."""
        return f"{self.cell.label} {self.note}".strip()


def make_plan(suites: Mapping[str, Suite], selection: Selection, context: Context) -> list[PlannedCell]:
    """Look up every cell of a selection in the store.

    Args:
        suites: by name, those that the selection names at least.
        selection: what the user asked for.
        context: what all cells share.
    """
    times = earlier_times(context)
    return [
        look_up(suites[name], cell, context, times)
        for name in selection.suites
        for cell in suites[name].cells(selection, context)
    ]


def look_up(
    suite: Suite,
    cell: Cell,
    context: Context,
    times: dict[tuple[Any, ...], float],
    counts: "Callable[[Record], bool]" = lambda record: record.status in FINISHED,
) -> PlannedCell:
    """What will become of a cell.

    Args:
        suite: whose cell.
        cell: what is measured.
        context: what all cells share.
        times: `earlier_times`.
        counts: whether a record of the cell is that of a finished one.
    """
    key = suite.key(cell, context)
    timing_key = keys.timing_key(key, context.description, context.environment)
    refusal = suite.refusal(cell, context)
    if refusal is not None:
        return PlannedCell(suite, cell, key, timing_key, "impossible", *refusal)
    record = context.store.get(suite.name, key)
    if (
        record is not None
        and counts(record)
        and suite.has_products(record, context)
        and (record.timing_key == timing_key or not suite.timed)
    ):
        return PlannedCell(suite, cell, key, timing_key, "finished", record=record)
    seconds = times.get(_kind(suite.name, cell.as_dict()), suite.guess_seconds(cell))
    begun = suite.begun(cell, key, context)
    return PlannedCell(suite, cell, key, timing_key, "run", seconds=seconds, begun=begun)


def _kind(suite: str, cell: dict[str, Any]) -> tuple[Any, ...]:
    """Cells that take about the same time."""
    return suite, *(
        cell.get(n)
        for n in ("pair", "method", "scale", "dtype", "precision", "divergence", "implementation", "rows", "classes")
    )


def earlier_times(context: Context) -> dict[tuple[Any, ...], float]:
    """Median time of each kind of cell among the backend's records."""
    found = defaultdict(list)
    for record in context.store.records(backend=context.backend):
        seconds = record.metrics.get("time/total_s")
        if record.status in FINISHED and seconds is not None and seconds == seconds:
            found[_kind(record.suite, record.cell)].append(seconds)
    return {kind: statistics.median(seconds) for kind, seconds in found.items()}


def describe(plan: list[PlannedCell], group_of: Callable[[PlannedCell], str] = lambda planned: planned.cell.group) -> str:
    """The plan as a table, with what cannot run and why, and the estimated time.

    Args:
        plan: the cells.
        group_of: cells of a suite that have the same are counted together.
    """
    groups: dict[tuple[str, str], list[PlannedCell]] = defaultdict(list)
    for planned in plan:
        groups[planned.suite.name, group_of(planned)].append(planned)
    rows = [("suite", "cells", "planned", "finished", "to run", "cannot run", "about")]
    for (suite, group), members in groups.items():
        rows.append((suite, group, *_counts(members)))
    rows.append(("", "all", *_counts(plan)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        words = [
            word.ljust(width) if column < 2 else word.rjust(width)
            for column, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(words).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    remarks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for planned in plan:
        name = f"{planned.suite.name} {planned.label}"
        if planned.state == "impossible":
            remarks["cannot run: ", f"{planned.status} ({planned.reason})"].append(name)
        elif planned.begun:
            remarks["", planned.begun].append(name)
    for (start, remark), names in remarks.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"{start}{names[0]}{others}: {remark}")
    return "\n".join(lines)


def _counts(members: Iterable[PlannedCell]) -> tuple[str, ...]:
    members = list(members)
    states = [sum(planned.state == state for planned in members) for state in ("finished", "run", "impossible")]
    return tuple(str(n) for n in (len(members), *states)) + (duration(sum(p.seconds for p in members)),)


def duration(seconds: float) -> str:
    """ "45 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
