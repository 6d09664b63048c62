"""Run the cells of a plan: each ends in a record, written at once, whatever happens to it."""

import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TextIO

from results.records.record import Record
from suites.plan import FINISHED, PlannedCell
from suites.running import workers
from suites.running.measuring import Ended, measure, not_run, surroundings
from suites.running.progress import Progress
from suites.running.sharing import Sharing
from suites.suite import Context, Outcome

# of records that say "this has not been measured"; the command then ends with exit status 1
TROUBLE = ("failed", "out-of-memory", "timeout", "missing-data", "missing-weights")
# (cells, context, progress) → each cell with how it ended, as they end
Execute = Callable[[list[PlannedCell], Context, Progress], Iterable[tuple[PlannedCell, Ended]]]


@dataclass
class Run:
    """What became of a plan.

    Attributes:
        records: of the cells that ended in this command, in order.
        elsewhere: records of cells that other commands on the same store have finished meanwhile.
        interrupted: whether Ctrl-C ended it before the last cell.
    """

    records: list[Record] = field(default_factory=list)
    elsewhere: list[Record] = field(default_factory=list)
    interrupted: bool = False


def run_plan(
    plan: list[PlannedCell], context: Context, execute: Execute, output: TextIO | None = None, *, invocation: str | None = None
) -> Run:
    """Run every cell of a plan that is not finished, and that no other command on the same store runs or has run meanwhile.

    Ctrl-C ends the run after the cells that are finished; an error in a cell makes its record "failed" and the next
    cell is run.

    Args:
        plan: the cells.
        context: what they share.
        execute: what runs them, such as `SideBySide`.
        output: where lines go; None for the screen.
        invocation: identifier of the command; None for a new one.
    """
    run = Run()
    invocation = invocation or uuid.uuid4().hex
    for planned in plan:
        if planned.record is not None and planned.record.key != planned.key:
            planned.suite.adopt(planned.record, planned.key, context)
    waiting = [planned for planned in plan if planned.state != "finished"]
    progress = Progress(len(waiting), output or sys.stdout)
    sharing = Sharing(waiting, context, progress)
    context = replace(context, take=sharing.take)
    try:
        while sharing.left:
            for planned, ended in execute(list(sharing.left.values()), context, progress):
                record = record_of(planned, ended, context, invocation)
                context.store.write(record)
                if record.status in FINISHED:
                    planned.suite.clean_up(planned.key, context)
                sharing.end(planned)
                run.records.append(record)
                progress.finish(planned, record)
            sharing.wait()
    except KeyboardInterrupt:
        run.interrupted = True
    finally:
        progress.close()
        context.store.claims.release_all()
    run.elsewhere = sharing.elsewhere
    return run


@dataclass(frozen=True)
class SideBySide:
    """Runs at first the cells that may run side by side, in processes, then the others one after the other.

    Attributes:
        measure: what those processes call (`suites.registry.measure`).
    """

    measure: workers.Measure

    def __call__(self, waiting: list[PlannedCell], context: Context, progress: Progress) -> Iterator[tuple[PlannedCell, Ended]]:
        """Each cell with how it ended."""
        together = [planned for planned in waiting if planned.suite.side_by_side and planned.state == "run"]
        done = set()
        if context.workers > 1 and len(together) > 1:
            progress.begin(f"{len(together)} cells, {context.workers} at a time")
            for planned, ended in workers.outcomes(context.take(together), lambda planned: planned.cell, context, self.measure):
                done.add(planned.key)
                yield planned, ended
        for planned in context.take(planned for planned in waiting if planned.key not in done):
            progress.begin(f"{planned.suite.name} {planned.label}")
            yield planned, run_cell(planned, context, progress)


def run_cell(planned: PlannedCell, context: Context, progress: Progress | None = None) -> Ended:
    """Run one cell here, unless it cannot run."""
    if planned.state == "impossible":
        return not_run(planned.status, planned.reason)
    report = {} if progress is None else {"report": progress.share}
    return measure(planned.suite, planned.cell, context, **report)


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
        details=outcome.details | ({"system": system} if system else {}) | {"decided": planned.decided.plain()},
        artifacts=_keep(planned, outcome, context),
        environment=surroundings(context) if ended.environment is None else ended.environment,
        started=ended.started,
        finished=ended.finished,
    )


def _keep(planned: PlannedCell, outcome: Outcome, context: Context) -> dict[str, str]:
    """Write the files that a cell leaves beside its record; their paths in the store, by name."""
    kept = {}
    for name, write in outcome.files.items():
        path = context.store.artifacts_of(planned.suite.name, planned.key) / f"{name}.safetensors"
        write(path)
        kept[name] = path.relative_to(context.store.path).as_posix()
    return kept
