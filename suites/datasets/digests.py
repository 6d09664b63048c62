"""Digests of data, so that a changed data set is noticed without reading it again for every command."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from results import atomic
from suites.datasets.dataset import DatasetError, DatasetMissing
from suites.datasets.places import digest_folder

LENGTH = 32


def of_files(paths: Iterable[Path]) -> str:
    """Digest of files' names and contents: 32 hexadecimal digits.

    Raises:
        DatasetMissing: one of them is not there.
        DatasetError: one of them cannot be read.
    """
    state = hashlib.sha256()
    for path in paths:
        state.update(f"{path.name}\0{of_file(path)}\0".encode())
    return state.hexdigest()[:LENGTH]


def of_file(path: Path) -> str:
    """Digest of a file's content.

    It is computed once and kept in the user's cache, beside the file's size and the time of its last change: as long as
    both are the same, the file is not read.

    Raises:
        DatasetMissing: it is not there.
        DatasetError: it cannot be read.
    """
    path = path.absolute()
    kept = digest_folder() / f"{hashlib.sha256(str(path).encode()).hexdigest()[:LENGTH]}.json"
    try:
        status = path.stat()
        state = {"path": str(path), "size": status.st_size, "modified": status.st_mtime_ns}
        earlier = _read(kept)
        if earlier.items() >= state.items():
            return str(earlier["digest"])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DatasetMissing(f"{path} is not there. `nox -s data -- list` says how to get it") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}. Check its owner and rights") from error
    with suppress(OSError):  # a cache that cannot be written costs time alone
        atomic.write(kept, json.dumps(state | {"digest": digest}))
    return digest


def _read(path: Path) -> dict[str, str | int]:
    """A note that was kept; empty where there is none that can be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and "digest" in note else {}
