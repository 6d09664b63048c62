"""Commands on one store share the work: each cell is run by the one that claims it, and the others find it finished."""

import time
from collections.abc import Iterable, Iterator

from results.records.record import Record
from results.records.store import StoreError
from suites.plan import FINISHED, PlannedCell
from suites.running.progress import Progress
from suites.suite import Context

# a record of another command with one of these says how its cell ended; with another status the cell is tried here too
ENDED = (*FINISHED, "failed", "out-of-memory", "timeout")
# seconds between two looks at cells that other commands run
_PAUSE = 0.2


class Sharing:
    """What of a plan is still to be done, by this command or by others.

    Attributes:
        left: cells that have not ended, by key.
        elsewhere: records of cells that other commands have finished meanwhile.

    Args:
        waiting: the cells that are to be run.
        context: what they share.
        progress: the screen.
    """

    def __init__(self, waiting: list[PlannedCell], context: Context, progress: Progress) -> None:
        self.left = {(planned.suite.name, planned.key): planned for planned in waiting}
        self.elsewhere: list[Record] = []
        self._context, self._progress = context, progress
        self._claims = context.store.claims
        self._deferred: set[str] = set()
        self._told: set[str] = set()

    def take(self, cells: Iterable[PlannedCell]) -> Iterator[PlannedCell]:
        """Of cells those that are to be run here and now, each claimed when it is asked for.

        One that another command runs is left for later, and so is one that needs what that other one makes.
        """
        for planned in cells:
            if planned.state == "impossible":
                yield planned
                continue
            if planned.suite.needs(planned.cell, self._context) in self._deferred or not self._take(planned):
                self._deferred.add(planned.key)
                continue
            record = ended_elsewhere(planned, self._context)
            if record is None:
                yield planned
            else:
                self.elsewhere.append(record)
                self._progress.finish(planned, record, "by another command")
                self.end(planned)

    def end(self, planned: PlannedCell) -> None:
        """A cell has its record."""
        self.left.pop((planned.suite.name, planned.key), None)
        self._claims.release(planned.suite.name, planned.key)

    def wait(self) -> None:
        """Until one of the cells that are left can be looked at again: its command has finished it, or has died."""
        self._deferred.clear()
        keys = {planned.key for planned in self.left.values()}
        # those that need another one of them have to wait for that
        first = [p for p in self.left.values() if p.suite.needs(p.cell, self._context) not in keys]
        while first and not any(self._take(planned) for planned in first):
            self._tell(first[0])
            time.sleep(_PAUSE)

    def hold_all(self) -> None:
        """Claim every cell, waiting for those that others run; always in the same order, so that no two wait for each other."""
        for _, planned in sorted(self.left.items(), key=lambda item: item[0]):
            while not self._take(planned):
                self._tell(planned)
                time.sleep(_PAUSE)

    def _take(self, planned: PlannedCell) -> bool:
        try:
            return self._claims.take(planned.suite.name, planned.key)
        except OSError as error:
            raise StoreError(f"The store {self._context.store.path} cannot be written: {error}.") from error

    def _tell(self, planned: PlannedCell) -> None:
        """Say whom this command waits for, each of them once."""
        holder = self._claims.holder(planned.suite.name, planned.key)
        if holder not in self._told:
            self._told.add(holder)
            others = f" and up to {len(self.left) - 1} more" if len(self.left) > 1 else ""
            self._progress.note(f"waiting for {planned.suite.name} {planned.label}{others}, which {holder} runs")


def ended_elsewhere(planned: PlannedCell, context: Context) -> Record | None:
    """The record that another command has written of a cell since it was planned, if it counts here."""
    record = context.store.get(planned.suite.name, planned.key)
    if record is None or record.finished == planned.seen or record.status not in ENDED:
        return None
    timed_here = not planned.suite.timed or record.timing_key == planned.timing_key
    return record if timed_here and planned.suite.has_products(record, context) else None
