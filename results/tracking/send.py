"""MLflow, fed from the store by one writer: an experiment a suite, a parent run an invocation, a child run a cell.

A record is always in the store before it comes here, so a tracking server that is down, or no MLflow at all, loses
nothing: the record stays queued until `sync` sends it. Sending twice makes no second run.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from results.records import sweep_notes
from results.records.record import Record
from results.records.store import Store, StoreError
from results.tracking import database, deadline, writer
from results.tracking.connection import (
    TrackingError,
    check_installed,
    check_reachable,
    errors_in_one_line,
    is_server,
    one_writer,
    tracking_uri,
    without_password,
)
from results.tracking.outcome import NEXT_STEP, Sent

# seconds for one step: of a server, and of a database here, which a busy machine may take a while to make
_SERVER_SECONDS, _DATABASE_SECONDS = 30.0, 90.0
# seconds for all that is sent: so many, and so many for each record
_WHOLE_SECONDS, _RECORD_SECONDS = 90.0, 3.0


def send(records: list[Record], store: Store, sweep_names: Sequence[str] = ()) -> Sent:
    """Log records to MLflow; those it has already are left alone.

    Best called once at the end of a suite (also an interrupted one): the figure of the parent run is drawn each time.

    Args:
        records: records that lie in `store`.
        store: where they lie; with no MLFLOW_TRACKING_URI also where MLflow's own data go.
        sweep_names: sweeps (`results.records.sweep_notes`) that get a run also where all their records are of other commands.

    Returns:
        What became of them. Nothing is raised where MLflow is missing, down or refuses: the records stay queued, and
        `Sent.problem` says why.
    """
    outcome = _bounded(store, len(records), lambda clock, outcome: _send(records, store, sweep_names, clock, outcome))
    if not outcome.problem and outcome.refused:
        more = f" And {len(outcome.refused) - 1} more." if len(outcome.refused) > 1 else ""
        outcome.problem = f"MLflow {outcome.uri}: {outcome.sent} records sent; {outcome.refused[0]}.{more}"
    if outcome.problem:
        waiting = set(store.queued())
        unsent = len(records) - outcome.sent - outcome.known - outcome.left_out
        # A server that is down cannot say which records it has; those that were never sent anywhere are marked.
        outcome.queued = sum((record.suite, record.key) in waiting for record in records) or unsent
    return outcome


def remove(records: list[Record], store: Store) -> Sent:
    """Delete the runs of records in MLflow, and those of commands that have no other; to be called before the records go.

    Returns:
        `sent` counts the runs of cells; `problem` says why they are still there.
    """

    file = database.path_in(tracking_uri(store))
    if file is not None and not file.exists():
        return Sent(uri=tracking_uri(store))

    def work(clock: deadline.Clock, outcome: Sent) -> None:
        with _writer(store, clock, outcome) as sending:
            for suite in dict.fromkeys(record.suite for record in records):
                sending.remove(suite, [record for record in records if record.suite == suite])

    return _bounded(store, len(records), work)


def _bounded(store: Store, records: int, work: Callable[[deadline.Clock, Sent], None]) -> Sent:
    """Do what asks MLflow, within its time; whatever happens is in `Sent.problem`."""
    uri = tracking_uri(store)
    outcome = Sent(uri=without_password(uri))
    step = _SERVER_SECONDS if is_server(uri) else _DATABASE_SECONDS
    clock = deadline.Clock(step, _WHOLE_SECONDS + _RECORD_SECONDS * records)
    try:
        with errors_in_one_line(outcome.uri):
            deadline.within(clock, lambda: work(clock, outcome))
    except (TrackingError, StoreError) as error:
        outcome.problem = str(error)
    return dataclasses.replace(outcome)  # work that was given up may still count in its own


@contextlib.contextmanager
def _writer(store: Store, clock: deadline.Clock, outcome: Sent) -> Iterator[writer.Writer]:
    """A connection that no other process of this store has at the same time."""
    clock.tick()
    check_reachable(tracking_uri(store))
    check_installed()
    clock.pause()
    with one_writer(store):
        clock.tick()
        yield writer.Writer(store, clock, outcome)


def _send(records: list[Record], store: Store, sweep_names: Sequence[str], clock: deadline.Clock, outcome: Sent) -> None:
    with _writer(store, clock, outcome) as sending:
        for suite in dict.fromkeys(record.suite for record in records):
            clock.tick()
            sending.send_suite(suite, [record for record in records if record.suite == suite])
        for name in sweep_names:
            clock.tick()
            sending.send_sweep(name)


def sync(store: Store) -> Sent:
    """Send every record of the store that MLflow does not have, whether it was queued or came from another machine."""
    return send(store.records(), store, sweep_notes.names(store))


def describe_queue(store: Store) -> str:
    """One line on the records that MLflow has not got yet; "" where there are none."""
    queued = store.queued()
    return f"{len(queued)} records are not in MLflow yet; {NEXT_STEP}." if queued else ""


__all__ = ["NEXT_STEP", "Sent", "TrackingError", "describe_queue", "send", "sync", "tracking_uri", "without_password"]
