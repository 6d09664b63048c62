"""Work that may take so long and no longer, whatever the other side does: silence, single bytes, "try again in an hour"."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# how often the one who waits looks at the clock, in seconds
_TICK = 0.05


class TimeIsUpError(RuntimeError):
    """The work was given up; the message says after how many seconds."""


class Clock:
    """What the work calls between its steps.

    Args:
        step: seconds that one step may take.
        whole: seconds that all of them may take.
    """

    def __init__(self, step: float, whole: float) -> None:
        self._step, self._whole = step, whole
        self._began: float | None = None
        self._last = 0.0
        self._given_up = ""

    def tick(self) -> None:
        """A step is done; the first call starts the clock.

        Raises:
            TimeIsUpError: nobody waits any more.
        """
        if self._given_up:
            raise TimeIsUpError(self._given_up)
        self._last = time.monotonic()
        self._began = self._began or self._last

    def pause(self) -> None:
        """What comes before the next tick takes no time: it waits for another process, and has its own limit."""
        self._began = None

    def check(self) -> None:
        """Give up where the time is up.

        Raises:
            TimeIsUpError: it is.
        """
        now = time.monotonic()
        if self._began is None:
            return
        if now - self._last > self._step:
            self._given_up = f"did not answer within {self._step:g} s"
        elif now - self._began > self._whole:
            self._given_up = f"was not done after {self._whole:g} s"
        if self._given_up:
            raise TimeIsUpError(self._given_up)


def within(clock: Clock, work: Callable[[], None]) -> None:
    """Do the work in a thread, and leave it there once the time is up; it ends at its next tick, or with this process.

    Raises:
        TimeIsUpError: the time is up.
        BaseException: what the work raised.
    """
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # it is raised below
            raised.append(error)

    thread = threading.Thread(target=guarded, name="MLflow", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_TICK)
        if thread.is_alive():
            clock.check()
    if raised:
        raise raised[0]
