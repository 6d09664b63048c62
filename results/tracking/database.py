"""The SQLite file in which MLflow keeps its runs where no server is named: it belongs to the store and moves with it."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from results.places import cache_folder
from results.records.store import Store

NAME, ARTIFACTS = "mlflow.db", "mlartifacts"
# seconds that a database which another process has locked is waited for
_LOCKED_SECONDS = 10.0
_SCHEME = "sqlite:///"


class DatabaseError(RuntimeError):
    """The database cannot be used; one sentence that names it and the next step."""


def uri_of(store: Store) -> str:
    """The database in the store, for MLflow."""
    return f"{_SCHEME}{(_readable(store.path) / NAME).as_posix()}"


def artifacts_of(store: Store) -> Path:
    """Where MLflow's files lie that go with it."""
    return store.path / ARTIFACTS


def _readable(folder: Path) -> Path:
    """The folder, or a link to it where SQLAlchemy would take a part of its name for options."""
    if "?" not in str(folder):
        return folder
    link = cache_folder() / "stores" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(folder, target_is_directory=True)
    return link


def path_in(uri: str) -> Path | None:
    """The file that a URI of SQLite names; None where it is another one."""
    path = uri.removeprefix(_SCHEME).partition("?")[0]
    return Path(path) if uri.startswith(_SCHEME) and path else None


def check(path: Path) -> None:
    """Open a database once: MLflow would try again and again for minutes, and show each error.

    Raises:
        DatabaseError: it is damaged, or another process has locked it.
    """
    if not path.exists():
        return
    try:
        with _opened(path) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(str(found).splitlines()[0])
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise DatabaseError(f"MLflow's database {path} is locked by another process ({_LOCKED_SECONDS:g} s).") from error
        raise DatabaseError(
            f"MLflow's database {path} cannot be used ({error}); move it away, and everything is built from the records."
        ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def bring_home(store: Store) -> None:
    """Let the store's database name its files where the store lies now: a copy would write into its old place."""
    path = store.path / NAME
    if not path.exists():
        return
    with _opened(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, key, column in (("experiments", "experiment_id", "artifact_location"), ("runs", "run_uuid", "artifact_uri")):
            if table not in tables:
                continue
            named = connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} LIKE '%/{ARTIFACTS}/%'")
            moved = [(place, row) for row, uri in named.fetchall() if (place := _at_home(uri, store)) != uri]
            if moved:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", moved)
                connection.execute("COMMIT")


def _at_home(uri: str, store: Store) -> str:
    place = local(uri)
    if place is None or owner(place) in (None, store.path):
        return uri
    return (artifacts_of(store) / place.relative_to(owner(place) / ARTIFACTS)).as_uri()


def local(uri: str) -> Path | None:
    """The path that a location of artifacts names on this machine; None where a server keeps them."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(unquote(uri)) if not parts.scheme and uri else None


def owner(place: Path) -> Path | None:
    """The folder whose `mlartifacts` a place lies in; None where it lies in none."""
    above = [folder for folder in place.parents if folder.name == ARTIFACTS]
    return above[0].parent if above else None


def is_of_another_store(uri: str, store: Store) -> bool:
    """Whether a location of artifacts lies in another store than this one, or where one lay."""
    place = local(uri)
    folder = None if place is None else owner(place)
    if folder is None or folder.resolve() == store.path.resolve():
        return False
    return not folder.is_dir() or (folder / "records").is_dir()
