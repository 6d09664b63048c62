"""The connection to MLflow: where it is, whether it answers, one writer at a time, errors in one line."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from results.records.store import Store, StoreError
from results.tracking import database
from results.tracking.deadline import TimeIsUpError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# A server that answers nothing for this long is taken for down. MLflow itself would try for many minutes.
_PROBE_SECONDS = 4.0
_REQUEST_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


_NOT_INSTALLED = "MLflow is not installed here ({}); `pip install --group mlflow` does that."
# another process that sends is bounded itself, and ends within this time unless it has very many records
_LOCK_SECONDS = 120


class TrackingError(RuntimeError):
    """MLflow could not be reached or refused; one line for people, naming the tracking URI."""


def tracking_uri(store: Store) -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in the store, which needs nothing started."""
    return os.environ.get("MLFLOW_TRACKING_URI") or database.uri_of(store)


def is_server(uri: str) -> bool:
    """Whether something else than a file on this machine answers there."""
    return uri.startswith(("http://", "https://", "databricks"))


def client(store: Store) -> MlflowClient:
    """MLflow's client for a store, set up so that it gives up on a dead server within seconds."""
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(store)
    prepare(store, uri)
    if uri.startswith("sqlite:"):
        _relax_sqlite()
    return MlflowClient(uri)


def prepare(store: Store, uri: str) -> None:
    """Make the store's folder; look at a database on this machine before MLflow does, and bring the store's own home.

    Raises:
        results.records.store.StoreError: the folder cannot be made.
        results.tracking.database.DatabaseError: the database cannot be used.
    """
    store.make()
    file = database.path_in(uri)
    if file is not None:
        database.check(file)
        if file.parent.resolve() == store.path.resolve():
            database.bring_home(store)


def check_installed() -> None:
    """Import what the other functions here need.

    Raises:
        TrackingError: it is not installed.
    """
    os.environ.update({name: value for name, value in _REQUEST_DEFAULTS.items() if name not in os.environ})
    try:
        import filelock  # noqa: F401
        import mlflow.tracking  # noqa: F401
        import sqlalchemy.exc  # noqa: F401
    except ImportError as error:
        raise TrackingError(_NOT_INSTALLED.format(error)) from error


def check_reachable(uri: str) -> None:
    """Ask a server whether it is there.

    Raises:
        TrackingError: no answer within a few seconds.
    """
    if not uri.startswith(("http://", "https://")):
        return
    try:
        import requests
    except ImportError as error:
        raise TrackingError(_NOT_INSTALLED.format(error)) from error
    try:  # as MLflow asks: with credentials that the address may hold
        requests.get(uri.rstrip("/") + "/health", timeout=_PROBE_SECONDS, stream=True).close()
    except requests.exceptions.SSLError:
        return  # somebody is there; MLflow knows which certificates it may trust
    except (requests.RequestException, ValueError) as error:
        named = without_password(uri)
        reason = without_password(_innermost(error))
        raise TrackingError(f"The MLflow server {named} does not answer ({reason}).") from error


def _innermost(error: BaseException) -> str:
    """The system's own words, which `requests` wraps several times."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return next(iter(str(reason).splitlines()), "").rpartition(": ")[2][:200] or type(error).__name__


@functools.cache
def _relax_sqlite() -> None:
    """A write-ahead log for SQLite: safe, and without waiting for the disk at each of MLflow's many commits.

    It makes sending several times faster, and the UI reads while a suite writes. Where the file system has no shared
    memory for it, SQLite keeps its old journal.
    """
    import sqlalchemy
    from sqlalchemy.engine import Engine

    def pragma(connection: Any, _: Any) -> None:
        if "sqlite" in type(connection).__module__:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    sqlalchemy.event.listen(Engine, "connect", pragma)


@contextlib.contextmanager
def one_writer(store: Store) -> Iterator[None]:
    """Only one process sends at a time; two would not see each other's runs and make them twice."""
    import filelock

    lock = store.path / "queue" / ".lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=_LOCK_SECONDS):
            yield
    except filelock.Timeout as error:
        raise TrackingError(f"Another process has been sending for {_LOCK_SECONDS} s (it holds {lock}).") from error
    except OSError as error:
        raise TrackingError(f"The store {store.path} cannot be written ({error}).") from error


@contextlib.contextmanager
def errors_in_one_line(uri: str) -> Iterator[None]:
    """Turn whatever MLflow, its server, its database and its artifact store raise into one line."""
    try:
        yield
    except (TrackingError, StoreError):
        raise
    except TimeIsUpError as error:
        raise TrackingError(f"MLflow at {uri} {error}.") from error
    except database.DatabaseError as error:
        raise TrackingError(str(error)) from error
    except Exception as error:  # junk for JSON raises what nobody thought of
        raise TrackingError(f"MLflow at {uri} refused or broke off: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """An error in one line."""
    return without_password(next(iter(str(error).splitlines()), "")[:300] or type(error).__name__)


def without_password(uri: str) -> str:
    """The URI with a password in it blanked out, for messages."""
    return re.sub(r"//([^/:@]*):[^/@]*@", r"//\1:***@", uri)
