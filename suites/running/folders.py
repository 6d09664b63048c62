"""Temporary folders of processes that may be killed: the next one of this kind takes away what dead ones have left."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".lock"
# a folder without a lock may be of a process that has just made it
_YOUNG_SECONDS = 60
_held: "list[BaseFileLock]" = []


def own_folder(prefix: str) -> Path:
    """A new temporary folder of this process, which is locked while the process lives.

    Args:
        prefix: of the folder's name; folders of the same prefix whose process has died are removed.
    """
    import filelock

    _sweep(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    lock = filelock.FileLock(folder / _LOCK, timeout=0, thread_local=False)
    lock.acquire()
    _held.append(lock)
    return folder


def _sweep(prefix: str) -> None:
    import filelock

    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            locked = (folder / _LOCK).is_file()
            if folder.is_symlink() or (not locked and time.time() - folder.stat().st_mtime < _YOUNG_SECONDS):
                continue
            if locked:
                filelock.FileLock(folder / _LOCK, timeout=0, thread_local=False).acquire().lock.release()
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, filelock.Timeout):
            continue  # of somebody else, or in use
