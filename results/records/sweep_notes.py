"""Which records belong to a sweep: `<store>/sweeps/<name>.json` names them, since some may be other commands' records."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

from results import atomic
from results.records.store import Store, StoreError, StoreWarning

# sweeps are made of cells of this suite
SUITE = "distill"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")


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
    """What `write` noted of a sweep; None where there is no such sweep, or a note that nobody can read, with a warning."""
    if not _NAME.fullmatch(name):
        return None  # an invocation of another kind
    path = _path(store, name)
    if not path.is_file():
        return None
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(noted["keys"], list) and isinstance(noted["words"], dict)):
            raise ValueError("it is no note of a sweep")
        return {**noted, "keys": [str(key) for key in noted["keys"]], "words": _texts(noted["words"])}
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        warnings.warn(f"skipped {path}: {error}", StoreWarning, stacklevel=2)
        return None


def _texts(words: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in words.items()}


def names(store: Store) -> list[str]:
    """The names of all sweeps of a store."""
    return sorted(path.stem for path in (store.path / "sweeps").glob("*.json") if not path.name.startswith("."))


def _path(store: Store, name: str) -> Path:
    return store.path / "sweeps" / f"{name}.json"
