"""Measure one cell in this process: how it ended, whatever it raised, and where and when that was."""

import datetime
import traceback
from dataclasses import dataclass
from typing import Any

from results.records import environment
from results.records.monitor import Monitor
from suites.cell import Cell
from suites.datasets.dataset import DatasetError
from suites.running import machine
from suites.suite import CellStopped, Context, Outcome, Report, Stop, Suite, never, silent


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


def measure(suite: Suite, cell: Cell, context: Context, stop: Stop = never, report: Report = silent) -> Ended:
    """Run a cell in this process."""
    started = now()
    with Monitor() as monitor:
        outcome = guarded(suite, cell, context, stop, report)
    return Ended(outcome, monitor.samples(), started, now())


def not_run(status: str, reason: str) -> Ended:
    """How a cell ended that nobody began."""
    return Ended(Outcome(status, reason), {}, now(), now())


def guarded(suite: Suite, cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Run a cell; whatever it raises becomes the outcome, except Ctrl-C."""
    try:
        return suite.run(cell, context, stop, report)
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


def surroundings(context: Context) -> dict[str, Any]:
    """Hardware and versions, the clocks and the load of this moment, and the backend's own description."""
    described = {f"backend.{name}": value for name, value in context.description.items()}
    return {**context.environment, **environment.state(), **described}


def now() -> str:
    """This moment as records write it."""
    return datetime.datetime.now(datetime.UTC).isoformat()
