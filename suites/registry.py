"""The suites by name, and what a process calls that measures a cell for another one.

Only the command line, the sweep and such processes import this: every suite hangs on it.
"""

from suites.agreement.suite import SUITE as AGREEMENT
from suites.cell import Cell
from suites.distill.suite import SUITE as DISTILL
from suites.loss.suite import SUITE as LOSS
from suites.running import measuring
from suites.suite import Context, Stop, Suite, never
from suites.throughput.suite import SUITE as THROUGHPUT

SUITES: dict[str, Suite] = {suite.name: suite for suite in (AGREEMENT, LOSS, DISTILL, THROUGHPUT)}


def measure(cell: Cell, context: Context, stop: Stop = never) -> measuring.Ended:
    """Run a cell of any suite in this process."""
    return measuring.measure(SUITES[cell.suite], cell, context, stop)
