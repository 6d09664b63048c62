"""Processes beside this one for cells that are not timed: each has the framework to itself, set up as it is here."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import backends
from suites.cell import Cell
from suites.suite import Context, Outcome

#: a framework with its compiled code takes a gigabyte or two
MOST = 4
Item = TypeVar("Item")

_context: Context | None = None


def count(threads: int | None, device: str) -> int:
    """How many processes of so many threads the machine has room for; one where they would share an accelerator."""
    if threads is None or device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST, cores // threads))


def outcomes(
    items: Iterable[Item], cell_of: Callable[[Item], Cell], context: Context
) -> Iterator[tuple[Item, Outcome]]:
    """Run cells in `context.workers` processes; each item with its outcome, as they end.

    Processes that die (of memory, say) end this early: items that never came are the caller's to run.
    """
    pool = ProcessPoolExecutor(
        context.workers, multiprocessing.get_context("spawn"), _start, (context.backend, context.device)
    )
    try:
        futures: dict[Future[Outcome], Item] = {pool.submit(_run, cell_of(item)): item for item in items}
        for future in as_completed(futures):
            try:
                outcome = future.result()
            except BrokenProcessPool:
                return
            yield futures[future], outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _start(backend: str, device: str) -> None:
    """Set a process up; Ctrl-C is left to the one that started it."""
    global _context
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    harness = backends.load(backend)
    _context = Context(
        backend=backend, harness=harness, store=None, device=harness.set_up(threads=1, device=device),
        description=harness.describe(),
    )  # fmt: skip


def _end_with_parent() -> None:
    """A process that was killed leaves none behind that waits for work."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run(cell: Cell) -> Outcome:
    from suites.plan import SUITES
    from suites.runner import guarded

    return guarded(SUITES[cell.suite], cell, _context)
