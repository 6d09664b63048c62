"""Removing records: what goes with them, and what else needs it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from results.records.record import Record
from results.records.store import Store, StoreError


def files_of(store: Store, record: Record) -> list[Path]:
    """What lies in the store of a record beside its file: figures, kept weights, weights of a teacher, a checkpoint."""
    places = [store.path / "artifacts" / record.suite / record.key]
    places += [store.path / "weights" / f"{record.key}.safetensors"]
    places += [store.path / "checkpoints" / f"{record.key}{suffix}" for suffix in (".safetensors", ".json")]
    return [place for place in places if place.is_symlink() or place.exists()]


def remove(store: Store, records: Iterable[Record]) -> None:
    """Remove records and what goes with them; links are removed, never followed.

    Raises:
        StoreError: a file cannot be removed; the record that it belongs to is still there.
    """
    for record in records:
        try:
            for place in files_of(store, record):
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                else:
                    place.unlink(missing_ok=True)
            store.forget(record)
        except OSError as error:
            raise StoreError(f"{error.filename or store.path} cannot be removed: {error.strerror or error}.") from error


def size(paths: Iterable[Path]) -> int:
    """Bytes that files and folders take."""
    total = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]:
            with contextlib.suppress(OSError):
                total += file.lstat().st_size
    return total
