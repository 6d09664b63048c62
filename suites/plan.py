"""What a command will do: cells to run, cells that are finished, cells that cannot run, and the time it takes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from suites import keys
from suites.cell import Cell, fields, kind
from suites.columns import columns
from suites.selection import Selection
from suites.suite import Context, Suite

if TYPE_CHECKING:
    from results.records.record import Record

# a record with another status is of a cell that is run again
FINISHED = ("ok", "diverged")
# of changed files, how many are named
_MOST_FILES = 4


@dataclass(frozen=True)
class PlannedCell:
    """One cell and what will become of it.

    Attributes:
        suite: whose cell.
        cell: what is measured.
        decided: what decides its result.
        timing_key: of its record.
        state: "run", "finished" or "impossible".
        status, reason: of a cell that cannot run.
        record: of a cell that is finished.
        seconds: estimated time, 0 where it is not run.
        remark: why an earlier record does not count; what an interrupted run of the cell has left, and whether it is used.
        seen: when the record finished that lay in the store as the cell was planned; empty where none did.
        note: further words that tell the cell apart on the screen.
    """

    suite: Suite
    cell: Cell
    decided: keys.Decided
    timing_key: str
    state: str
    status: str = ""
    reason: str = ""
    record: "Record | None" = None
    seconds: float = 0.0
    remark: str = ""
    seen: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """Of its record."""
        return self.decided.key

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
    earlier = Earlier.of(context)
    return [
        look_up(suites[name], cell, context, earlier)
        for name in selection.suites
        for cell in suites[name].cells(selection, context)
    ]


@dataclass(frozen=True)
class Earlier:
    """What the store holds of the backend.

    Attributes:
        seconds: median time of each kind of cell.
        finished: the records of finished cells, the newest last, by suite and cell.
    """

    seconds: Mapping[tuple[Any, ...], float] = field(default_factory=dict)
    finished: Mapping[tuple[str, frozenset[tuple[str, str]]], "list[Record]"] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Context) -> "Earlier":
        """Read the store."""
        seconds, finished = defaultdict(list), defaultdict(list)
        for record in sorted(context.store.records(backend=context.backend), key=lambda record: record.finished):
            if record.status in FINISHED:
                finished[record.suite, fields(record.cell)].append(record)
                total = record.metrics.get("time/total_s", math.nan)
                if total == total:
                    seconds[record.suite, kind(record.cell)].append(total)
        return cls({alike: statistics.median(times) for alike, times in seconds.items()}, finished)


def look_up(
    suite: Suite,
    cell: Cell,
    context: Context,
    earlier: Earlier,
    counts: "Callable[[Record], bool]" = lambda record: record.status in FINISHED,
) -> PlannedCell:
    """What will become of a cell.

    Args:
        suite: whose cell.
        cell: what is measured.
        context: what all cells share.
        earlier: what the store holds.
        counts: whether a record of the cell is that of a finished one.
    """
    decided = suite.decided(cell, context)

    def timing_key(key: str) -> str:
        return keys.timing_key(key, context.description, context.environment)

    refusal = suite.refusal(cell, context)
    if refusal is not None:
        return PlannedCell(suite, cell, decided, timing_key(decided.key), "impossible", *refusal)
    others = earlier.finished.get((suite.name, cell.fields), [])
    accepted = [record for record in others if context.accept_other_code and _other_of(record) == decided.other]
    present = context.store.get(suite.name, decided.key)
    for record in filter(None, (present, *reversed(accepted))):
        timed_here = not suite.timed or record.timing_key == timing_key(record.key)
        if not context.redo and counts(record) and suite.has_products(record, context) and timed_here:
            return PlannedCell(suite, cell, decided, timing_key(decided.key), "finished", record=record)
    seconds = earlier.seconds.get((suite.name, cell.kind), suite.guess_seconds(cell))
    remark = suite.begun(cell, decided.key, context)
    if not remark and present is None and others:
        remark = _why_not(others[-1], decided)
    seen = "" if present is None else present.finished
    return PlannedCell(suite, cell, decided, timing_key(decided.key), "run", seconds=seconds, remark=remark, seen=seen)


def _other_of(record: "Record") -> str | None:
    return record.details.get("decided", {}).get("other")


def _why_not(record: "Record", decided: keys.Decided) -> str:
    """Why a finished record of the same cell does not count."""
    then = record.details.get("decided")
    if then is None:
        return "finished by an earlier version, which did not note by what code"
    if then["other"] != decided.other:
        return "finished with another recipe, other data or settings"
    differ = sorted(name for name, _ in then["code"].items() ^ decided.code.items())
    names = list(dict.fromkeys(differ))
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return (
        f"finished by other code: {', '.join(names[:_MOST_FILES])}{more} changed; --accept-other-code takes the record as it is"
    )


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
    lines = columns(rows, right=range(2, len(rows[0])))
    remarks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for planned in plan:
        name = f"{planned.suite.name} {planned.label}"
        if planned.state == "impossible":
            remarks["cannot run: ", f"{planned.status} ({planned.reason})"].append(name)
        elif planned.remark:
            remarks["", planned.remark].append(name)
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
