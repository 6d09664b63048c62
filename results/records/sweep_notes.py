"""Which records belong to a sweep: `<store>/sweeps/<name>.json` names them, since some may be other commands' records."""

import json
from pathlib import Path
from typing import Any

from results import atomic
from results.records.store import Store, StoreError

# sweeps are made of cells of this suite
SUITE = "distill"


def write(store: Store, name: str, keys: list[str], searched: dict[str, str]) -> None:
    """Note which records belong to a sweep.

    Args:
        store: where the records lie.
        name: of the sweep; the invocation of the records that it makes.
        keys: of all its cells.
        searched: what it searches, for people, by name.

    Raises:
        StoreError: the store cannot be written.
    """
    path = _path(store, name)
    try:
        atomic.write(path, json.dumps({"name": name, "keys": keys, "words": searched}, indent=1))
    except OSError as error:
        raise StoreError(f"The sweep's note {path} cannot be written: {error.strerror or error}.") from error


def read(store: Store, name: str) -> dict[str, Any] | None:
    """What `write` noted of a sweep; None where there is no such sweep."""
    try:
        return json.loads(_path(store, name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def names(store: Store) -> list[str]:
    """Of all sweeps of a store."""
    return sorted(path.stem for path in (store.path / "sweeps").glob("*.json") if not path.name.startswith("."))


def _path(store: Store, name: str) -> Path:
    return store.path / "sweeps" / f"{name}.json"
