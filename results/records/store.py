"""The local store: one JSON file a record, written atomically, and the folders that go with it.

<store>/records/<suite>/<key>.json    the newest record of a key
<store>/queue/<suite>/<key>           a record that MLflow has not got yet
<store>/artifacts/<suite>/<key>/      figures of a record, and files that belong to it (`Record.artifacts`)
<store>/artifacts/<suite>/invocation-<name>/   figures of a whole command
<store>/weights/<key>.safetensors     weights that several cells share (a teacher)
<store>/checkpoints/<key>.*           what an interrupted training goes on from
<store>/claims/<suite>/<key>.*        cells that a command runs at this moment (`results.records.claims`)
<store>/mlflow.db, <store>/mlartifacts/   MLflow, unless MLFLOW_TRACKING_URI names another place
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import stat
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import atomic
from results.places import CLONE
from results.records.claims import Claims
from results.records.record import Record, RecordError

if TYPE_CHECKING:
    import pandas

# A temporary file of this age has no writer any more.
_STALE_SECONDS = 3600
_FOLDER_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_HALF_WRITTEN = (".*.tmp", ".*.part", ".probe-*")


class StoreError(RuntimeError):
    """The store cannot be used; the message names its path and what to do."""


class StoreWarning(UserWarning):
    """A file in the store was skipped."""


def default_path() -> Path:
    """$ABKD_STORE, or `results/store` of the clone that this code lies in; never the current directory.

    Raises:
        StoreError: ABKD_STORE is not set and the code lies in no clone (it was installed from a wheel).
    """
    if os.environ.get("ABKD_STORE"):
        return Path(os.environ["ABKD_STORE"]).expanduser().absolute()
    if (CLONE / "noxfile.py").is_file() or (CLONE / ".git").exists():
        return CLONE / "results" / "store"
    raise StoreError(
        f"No place for results: {CLONE} is no clone of the project. Set ABKD_STORE to a folder that can be written."
    )


def _content(path: Path) -> bytes:
    """What a file holds.

    Raises:
        OSError: it cannot be read, or is no file: a pipe would be waited for, and a device might never end.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no file")
        return file.read()


class Store:
    """Records on disk. Several processes may write at once; a reader never sees half a record.

    Args:
        path: the store's folder; `default_path()` where it is None. It is made when something is written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = default_path() if path is None else Path(path).expanduser().absolute()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @functools.cached_property
    def claims(self) -> Claims:
        """The cells that are run by whoever holds this object, so that no other command runs them too."""
        return Claims(self.path)

    def check_writable(self) -> None:
        """Write a file and remove it, so that a store that cannot be written is known before anything runs.

        Raises:
            StoreError: naming the path, the reason and what to do.
        """
        probe = self.path / "records" / f".probe-{uuid.uuid4().hex}"
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_text("writable\n")
            probe.unlink()
            self._sweep()
        except OSError as error:
            raise self._not_writable(error) from error

    def _sweep(self) -> None:
        """Remove what writers that were killed left half written; no living writer takes an hour for a file."""
        for folder in ("records", "weights", "checkpoints", "artifacts"):
            for path in (path for pattern in _HALF_WRITTEN for path in (self.path / folder).rglob(pattern)):
                with contextlib.suppress(OSError):  # its writer, or another sweep, was faster
                    if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()

    def write(self, record: Record) -> Path:
        """Store a record, atomically, in place of an earlier one of the same suite and key.

        Returns:
            The record's file.

        Raises:
            StoreError: the store cannot be written (no space, no permission).
        """
        path = self._record_path(record.suite, record.key)
        text = record.to_json()
        try:
            # The marker comes first: a record without one would be forgotten, a marker without a record is harmless.
            marker = self._queue_path(record)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            atomic.write(path, text)
        except OSError as error:
            raise self._not_writable(error) from error
        return path

    def get(self, suite: str, key: str) -> Record | None:
        """The record of a key, or None where there is none (or only a file that cannot be read, with a warning)."""
        return self._read(self._record_path(suite, key))

    def records(self, suite: str | None = None, backend: str | None = None, status: str | None = None) -> list[Record]:
        """All records, or those of a suite, backend and status, in order of finishing.

        Torn and foreign files, and copies under another key's name, are skipped with a StoreWarning that names them.
        """
        paths = sorted((self.path / "records").glob(f"{suite or '*'}/*.json"))
        found = (self._read(path) for path in paths if not path.name.startswith("."))
        return sorted(
            (r for r in found if r is not None and backend in (None, r.backend) and status in (None, r.status)),
            key=lambda r: (r.finished, r.suite, r.key),
        )

    def frame(self, **selection: str | None) -> pandas.DataFrame:
        """Everything in one data frame: a row a record.

        Args:
            **selection: suite, backend, status, as in `records`.

        Returns:
            A column for each field of the cells and each metric under its own name, `environment.<name>` for the
            environment, `curve.<name>` with the list of a curve's figures, `artifact.<name>` with a path, and the
            record's own fields.
        """
        import pandas

        fields = ("suite", "backend", "key", "timing_key", "status", "message", "invocation", "started", "finished")
        rows = []
        for record in self.records(**selection):
            row: dict[str, Any] = {
                name: json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
                for name, value in record.cell.items()
            }
            row |= {name: str(getattr(record, name)) for name in fields} | record.metrics
            for prefix, values in (
                ("environment", record.environment),
                ("curve", record.curves),
                ("artifact", record.artifacts),
            ):
                row |= {f"{prefix}.{name}": value for name, value in values.items()}
            rows.append(row)
        return pandas.DataFrame(rows)

    def artifacts_dir(self, record: Record) -> Path:
        """The folder for files that belong to a record; made where it is missing."""
        return self.artifacts_of(record.suite, record.key)

    def artifacts_of(self, suite: str, key: str) -> Path:
        """The folder for files that belong to a record of this suite and key, which may be still to be written."""
        path = self.path / "artifacts" / suite / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def invocation_dir(self, suite: str, invocation: str) -> Path:
        """The folder for figures of a whole command; it need not exist."""
        name = invocation if _FOLDER_NAME.fullmatch(invocation) else hashlib.sha256(invocation.encode()).hexdigest()[:32]
        return self.path / "artifacts" / suite / f"invocation-{name}"

    def file_of(self, record: Record, name: str) -> Path | None:
        """The file that a record has under this name in its `artifacts`; None where there is none.

        A record may come from elsewhere: what it names outside its own folder of the store, also by a link, is
        skipped with a StoreWarning.
        """
        place = self.path / record.artifacts.get(name, "")
        own = self.path.resolve() / "artifacts" / record.suite / record.key
        try:
            inside = name in record.artifacts and place.resolve(strict=True).is_relative_to(own)
        except (OSError, RuntimeError, ValueError):  # not there, a loop of links, a name with a null character
            return None
        if inside:
            return place if place.is_file() else None
        if name in record.artifacts:
            text = f"skipped {record.artifacts[name]!r}, which the record {record.key} names: it lies outside {own}"
            warnings.warn(text, StoreWarning, stacklevel=2)
        return None

    def weights_path(self, key: str) -> Path:
        """Where weights with this key lie or would lie; its folder is made where it is missing."""
        path = self.path / "weights" / f"{key}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def queued(self) -> list[tuple[str, str]]:
        """(suite, key) of the records that MLflow has not got yet."""
        markers = sorted((self.path / "queue").glob("*/*"))
        # A marker without a record is of a writer that was killed between the two.
        return [
            (marker.parent.name, marker.name)
            for marker in markers
            if not marker.name.startswith(".") and self._record_path(marker.parent.name, marker.name).is_file()
        ]

    def mark_sent(self, record: Record) -> None:
        """Take a record off the queue."""
        self._queue_path(record).unlink(missing_ok=True)

    def make(self) -> None:
        """Make the store's folder.

        Raises:
            StoreError: naming the path, the reason and what to do.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_writable(error) from error

    def forget(self, record: Record) -> None:
        """Remove a record's file and its place in the queue; what else belongs to it is `results.records.removal`'s.

        Raises:
            OSError: it cannot be removed.
        """
        self._record_path(record.suite, record.key).unlink(missing_ok=True)
        self.mark_sent(record)

    def _record_path(self, suite: str, key: str) -> Path:
        return self.path / "records" / suite / f"{key}.json"

    def _queue_path(self, record: Record) -> Path:
        return self.path / "queue" / record.suite / record.key

    def _read(self, path: Path) -> Record | None:
        """The record in a file; None, with a warning, where the file holds none: nothing there stops a command."""
        try:
            record = Record.from_json(_content(path))
            if (record.suite, record.key) != (path.parent.name, path.stem):
                raise RecordError(f"it is a copy of the record {record.suite}/{record.key}")
            return record
        except FileNotFoundError:
            return None  # another process replaced or removed it meanwhile
        except (RecordError, OSError, MemoryError) as error:
            warnings.warn(f"skipped {path}: {error}", StoreWarning, stacklevel=3)
            return None

    def _not_writable(self, error: OSError) -> StoreError:
        return StoreError(
            f"The store {self.path} cannot be written: {error.strerror or error}. "
            "Make it writable or set ABKD_STORE (or --store) to a folder that is."
        )
