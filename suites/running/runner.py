"""Run the cells of a plan: each ends in a record, written at once, whatever happens to it."""

import datetime
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from results import metrics
from results.records import environment
from results.records.monitor import Monitor
from results.records.record import Record
from suites.cell import Cell
from suites.datasets.dataset import DatasetError
from suites.plan import FINISHED, PlannedCell, duration
from suites.running import machine, workers
from suites.suite import CellStopped, Context, Outcome, Suite

# of records that say "this has not been measured"; the command then ends with exit status 1
TROUBLE = ("failed", "out-of-memory", "timeout", "missing-data", "missing-weights")
# how often a long cell reports where no bar is drawn
REPORT_SECONDS = 10.0
# how often the bar is drawn anew within a cell
REFRESH_SECONDS = 0.5


@dataclass
class Run:
    """What became of a plan.

    Attributes:
        records: of the cells that ended in this command, in order.
        interrupted: whether Ctrl-C ended it before the last cell.
    """

    records: list[Record] = field(default_factory=list)
    interrupted: bool = False


def run_plan(
    plan: list[PlannedCell],
    context: Context,
    output: TextIO | None = None,
    *,
    invocation: str | None = None,
    order: "Callable[..., Iterator[tuple[PlannedCell, Record]]] | None" = None,
) -> Run:
    """Run every cell of a plan that is not finished.

    Ctrl-C ends the run after the cells that are finished; an error in a cell makes its record "failed" and the next
    cell is run.

    Args:
        plan: the cells.
        context: what they share.
        output: where lines go; None for the screen.
        invocation: identifier of the command; None for a new one.
        order: called like `side_by_side`, which it replaces: runs the cells and gives each with its record.
    """
    outcome = Run()
    invocation = invocation or uuid.uuid4().hex
    waiting = [planned for planned in plan if planned.state != "finished"]
    progress = Progress(len(waiting), output or sys.stdout)
    context.report = progress.share
    try:
        for planned, record in (order or side_by_side)(waiting, context, invocation, progress):
            context.store.write(record)
            if record.status in FINISHED:
                planned.suite.clean_up(planned.key, context)
            outcome.records.append(record)
            progress.finish(planned, record)
    except KeyboardInterrupt:
        outcome.interrupted = True
    finally:
        progress.close()
    return outcome


def side_by_side(
    waiting: list[PlannedCell], context: Context, invocation: str, progress: "Progress"
) -> Iterator[tuple[PlannedCell, Record]]:
    """Each cell with its record: at first those that may run side by side, then the others one after the other."""
    together = [planned for planned in waiting if planned.suite.side_by_side and planned.state == "run"]
    done = set()
    if context.workers > 1 and len(together) > 1:
        progress.begin(f"{len(together)} cells, {context.workers} at a time")
        for planned, ended in workers.outcomes(together, lambda planned: planned.cell, context):
            done.add(planned.key)
            yield planned, record_of(planned, ended, context, invocation)
    for planned in waiting:
        if planned.key not in done:
            progress.begin(f"{planned.suite.name} {planned.label}")
            yield planned, run_cell(planned, context, invocation)


def run_cell(planned: PlannedCell, context: Context, invocation: str) -> Record:
    """Run one cell and describe how it ended."""
    if planned.state == "impossible":
        ended = Ended(Outcome(planned.status, planned.reason), {}, now(), now())
    else:
        ended = measure(planned.suite, planned.cell, context)
    return record_of(planned, ended, context, invocation)


@dataclass
class Ended:
    """A cell that ended, in this process or another one.

    Attributes:
        outcome: how.
        system: load of the machine meanwhile.
        started, finished: when.
        environment: of the machine it ran on; None where that is this one.
    """

    outcome: Outcome
    system: dict[str, list[float]]
    started: str
    finished: str
    environment: dict[str, Any] | None = None


def measure(suite: Suite, cell: Cell, context: Context) -> Ended:
    """Run a cell in this process."""
    started = now()
    with Monitor() as monitor:
        outcome = guarded(suite, cell, context)
    return Ended(outcome, monitor.samples(), started, now())


def record_of(planned: PlannedCell, ended: Ended, context: Context, invocation: str) -> Record:
    """The record of a cell that ended."""
    outcome, system = ended.outcome, ended.system
    return Record(
        suite=planned.suite.name,
        backend=planned.cell.backend,
        key=planned.key,
        timing_key=planned.timing_key,
        invocation=invocation,
        cell=planned.cell.as_dict(),
        status=outcome.status,
        message=outcome.message,
        metrics=outcome.metrics,
        curves={name: values for name, values in outcome.curves.items() if values},
        details=outcome.details | ({"system": system} if system else {}),
        artifacts=_keep(planned, outcome, context),
        environment=surroundings(context) if ended.environment is None else ended.environment,
        started=ended.started,
        finished=ended.finished,
    )


def surroundings(context: Context) -> dict[str, Any]:
    """Hardware and versions, the clocks and the load of this moment, and the backend's own description."""
    described = {f"backend.{name}": value for name, value in context.description.items()}
    return {**context.environment, **environment.state(), **described}


def _keep(planned: PlannedCell, outcome: Outcome, context: Context) -> dict[str, str]:
    """Write the files that a cell leaves beside its record; their paths in the store, by name."""
    kept = {}
    for name, write in outcome.files.items():
        path = context.store.artifacts_of(planned.suite.name, planned.key) / f"{name}.safetensors"
        write(path)
        kept[name] = path.relative_to(context.store.path).as_posix()
    return kept


def guarded(suite: Suite, cell: Cell, context: Context) -> Outcome:
    """Run a cell; whatever it raises becomes the outcome, except Ctrl-C."""
    try:
        return suite.run(cell, context)
    except CellStopped as stopped:
        return Outcome(stopped.status, str(stopped))
    except DatasetError as error:
        return Outcome("missing-data", str(error))
    except MemoryError as error:
        return Outcome("out-of-memory", f"MemoryError: {error}")
    except Exception as error:  # one cell must not end the others; the record says what happened
        status = "out-of-memory" if machine.ran_out(str(error)) else "failed"
        first_line = next(iter(str(error).splitlines()), "")
        return Outcome(status, f"{type(error).__name__}: {first_line}", details={"traceback": traceback.format_exc()})


def now() -> str:
    """This moment as records write it."""
    return datetime.datetime.now(datetime.UTC).isoformat()


class Progress:
    """A bar over the cells on a terminal, and a line for every cell that ends, on a terminal or not.

    Args:
        cells: how many there are.
        output: where lines go.
    """

    def __init__(self, cells: int, output: TextIO) -> None:
        from tqdm import tqdm

        self.cells = cells
        self.output = output
        self.done = 0
        self.label = ""
        self.started = self.reported = time.monotonic()
        self.first: tuple[float, float] | None = None
        form = "{desc} {percentage:3.0f} %|{bar:20}| {n:.1f} of {total:.0f} cells, {elapsed} gone, {remaining} left"
        self.bar = tqdm(total=cells, bar_format=form, leave=False, disable=not (output.isatty() and cells), file=output)

    def begin(self, label: str) -> None:
        """A cell, or several, begin."""
        self.label = label
        self.started = self.reported = time.monotonic()
        self.first = None
        self.bar.set_description_str(self.label)

    def share(self, share: float) -> None:
        """A share, 0 to 1, of the present cell is done; may be called as often as one likes."""
        now = time.monotonic()
        # a cell that goes on where it was killed begins with what it had; only what is done from there on tells the pace
        self.first = self.first or (now, share)
        if now - self.reported < (REPORT_SECONDS if self.bar.disable else REFRESH_SECONDS):
            return
        self.reported = now
        words = f"{self.label}: {share:.0%} done"
        done = share - self.first[1]
        if done > 0:
            words += f", about {duration((now - self.first[0]) / done * (1 - share))} left of this cell"
        if self.bar.disable:
            self._line(words)
            return
        self.bar.n = self.done + min(share, 1.0)
        self.bar.set_description_str(words)

    def finish(self, planned: PlannedCell, record: Record) -> None:
        """The present cell has its record."""
        self.done += 1
        seconds = record.metrics.get("time/total_s", time.monotonic() - self.started)
        words = [
            f"[{self.done:>{len(str(self.cells))}}/{self.cells}]",
            f"{planned.suite.name} {planned.label}:",
            record.status,
            *metrics.shown(record),
        ]
        self._line(" ".join([*words, f"({seconds:.1f} s)"]))
        if record.message:
            self._line(f"    {record.message}")
        for row in record.details.get("worst", []) if record.status == "failed" else []:
            if row["excess"] > 1:
                self._line("    " + ", ".join(f"{name} {_short(value)}" for name, value in row.items() if name != "excess"))
        self.bar.n = self.done
        self.bar.refresh()

    def close(self) -> None:
        """Take the bar off the screen."""
        self.bar.close()

    def _line(self, text: str) -> None:
        self.bar.write(text, file=self.output)
        self.output.flush()


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return "[" + ", ".join(_short(entry) for entry in value) + "]" if isinstance(value, list) else str(value)
