"""Digests of data, so that a changed data set is noticed without reading it again for every command."""

import hashlib
import json
from collections.abc import Callable, Iterable
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

    Raises:
        As `kept`.
    """

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return kept(path, compute)


def kept(path: Path, compute: Callable[[], str]) -> str:
    """A digest that is computed once and kept in the user's cache, as long as a file has the same size and last change.

    Args:
        path: of the file.
        compute: called where nothing is kept for the file as it is.

    Raises:
        DatasetMissing: the file is not there.
        DatasetError: it cannot be read.
    """
    path = path.absolute()
    note = digest_folder() / f"{hashlib.sha256(str(path).encode()).hexdigest()[:LENGTH]}.json"
    try:
        status = path.stat()
        state = {"path": str(path), "size": status.st_size, "modified": status.st_mtime_ns}
        earlier = _read(note)
        if earlier.items() >= state.items():
            return str(earlier["digest"])
        digest = compute()
    except FileNotFoundError as error:
        raise DatasetMissing(f"{path} is not there. `nox -s data -- list` says how to get it") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}. Check its owner and rights") from error
    with suppress(OSError):  # a cache that cannot be written costs time alone
        atomic.write(note, json.dumps(state | {"digest": digest}))
    return digest


def _read(path: Path) -> dict[str, str | int]:
    """A note that was kept; empty where there is none that can be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and "digest" in note else {}
