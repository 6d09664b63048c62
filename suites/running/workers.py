"""Processes beside this one for cells whose times are not compared: each has the framework to itself."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from suites import plugins
from suites.cell import Cell
from suites.running import machine
from suites.running.measuring import Ended
from suites.suite import Context, Stop, never

# a framework with its compiled code takes a gigabyte or two
MOST = 4
# JAX and TensorFlow take all of an accelerator's memory where nobody asks them to share it
_SHARED_ACCELERATOR = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
Item = TypeVar("Item")
# (cell, context, stop) → how the cell ended; a function that another process can import by its name
Measure = Callable[[Cell, Context, Stop], Ended]

_context: Context | None = None


@dataclass(frozen=True)
class Setup:
    """What another process needs for a `Context` of its own; plain data.

    Attributes:
        backend: its name.
        harness: name of the module that is its harness.
        threads, device: as here.
        store: folder of the store.
        teacher_weights, keep_students: as in `Context`.
        plugins: files of the user's that add rows to the tables.
    """

    backend: str
    harness: str
    threads: int | None
    device: str
    store: Path | None
    teacher_weights: str | None = None
    keep_students: bool = False
    plugins: tuple[Path, ...] = field(default_factory=plugins.loaded)

    @classmethod
    def of(cls, context: Context) -> "Setup":
        """That of a context."""
        return cls(
            context.backend,
            context.harness.__name__,
            context.threads,
            context.device,
            None if context.store is None else context.store.path,
            context.teacher_weights,
            context.keep_students,
        )

    def context(self) -> Context:
        """Import the framework, set it up as it is there, and describe it."""
        from results.records.store import Store

        for name, value in _SHARED_ACCELERATOR.items():
            os.environ.setdefault(name, value)
        plugins.load(self.plugins)
        harness = import_module(self.harness)
        plugins.build_for(self.backend)
        device = harness.set_up(threads=self.threads, device=self.device)
        return Context(
            backend=self.backend,
            harness=harness,
            store=None if self.store is None else Store(self.store),
            device=device,
            threads=self.threads,
            description=harness.describe(),
            teacher_weights=self.teacher_weights,
            keep_students=self.keep_students,
        )


def count(threads: int | None, device: str) -> int:
    """How many processes of so many threads the machine has room for; one where they would share an accelerator."""
    if threads is None or device != "cpu":
        return 1
    return max(1, min(MOST, machine.cores() // threads))


def outcomes(
    items: Iterable[Item],
    cell_of: Callable[[Item], Cell],
    context: Context,
    measure: Measure,
    stop_of: Callable[[Item], Stop] = lambda item: never,
) -> Iterator[tuple[Item, Ended]]:
    """Run cells in `context.workers` processes; each item with how it ended, as they end.

    Processes that die (of memory, say) end this early: items that never came are the caller's to run.

    Args:
        items: begun in this order; each is asked for when a process is free for it, or will be next.
        cell_of: their cells.
        context: backend, settings and store, which the processes share.
        measure: what the processes call for each.
        stop_of: what may end an item's training early; it must be able to travel to another process.
    """
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(context.workers, multiprocessing.get_context("spawn"), _start, (Setup.of(context),))
    try:
        queue, begun = iter(items), dict[Future[Ended], Item]()
        while True:
            try:
                for item in itertools.islice(queue, context.workers + 1 - len(begun)):
                    begun[pool.submit(_run, measure, cell_of(item), stop_of(item))] = item
                if not begun:
                    break
                ended = [(begun.pop(future), future.result()) for future in wait(begun, return_when=FIRST_COMPLETED).done]
            except BrokenProcessPool:
                return
            yield from ended
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in before:
                process.terminate()


def _start(setup: Setup) -> None:
    """Set a process up."""
    global _context
    follow_parent()
    _context = setup.context()


def follow_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_parent() -> None:
    """A process that was killed leaves none behind that waits for work."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run(measure: Measure, cell: Cell, stop: Stop) -> Ended:
    return measure(cell, _context, stop)
