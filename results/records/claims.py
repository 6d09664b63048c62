"""Claims of cells: while a command runs a cell, no other command on the same store runs it too.

<store>/claims/<suite>/<key>.lock    held by the system's file lock, which ends with its process, however that ends
<store>/claims/<suite>/<key>.json    who holds it: for messages alone
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from results import atomic

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Claims:
    """The claims that one command holds in a store. A command that dies loses them at once.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._folder = store / "claims"
        self._held: dict[tuple[str, str], BaseFileLock] = {}
        self._lock = threading.Lock()

    def take(self, suite: str, key: str) -> bool:
        """Claim a cell, unless another command holds it; one that is held here already stays so.

        Returns:
            Whether it is held here now.

        Raises:
            OSError: the store cannot be written.
        """
        import filelock

        with self._lock:
            if (suite, key) in self._held:
                return True
            path = self._path(suite, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            # a hold belongs to the command, whichever of its threads lets go of it
            lock = filelock.FileLock(path, timeout=0, thread_local=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                return False
            self._held[suite, key] = lock
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
        atomic.write(path.with_suffix(".json"), json.dumps(holder))
        return True

    def release(self, suite: str, key: str) -> None:
        """Let go of a cell; nothing happens where it is not held."""
        with self._lock:
            lock = self._held.pop((suite, key), None)
        if lock is not None:
            path = self._path(suite, key)
            # Gone before the lock is: who takes the lock of a file that is gone notices, and makes a new one.
            for file in (path.with_suffix(".json"), path):
                with contextlib.suppress(OSError):  # Windows keeps what is open
                    file.unlink()
            lock.release()

    def release_all(self) -> None:
        """Let go of every cell."""
        for suite, key in list(self._held):
            self.release(suite, key)

    def holder(self, suite: str, key: str) -> str:
        """Who holds a cell, in words."""
        try:
            noted = json.loads(self._path(suite, key).with_suffix(".json").read_text(encoding="utf-8"))
            return f"process {noted['process']} on {noted['host']} since {noted['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _path(self, suite: str, key: str) -> Path:
        return self._folder / suite / f"{key}.lock"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
