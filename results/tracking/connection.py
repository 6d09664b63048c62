"""The connection to MLflow: where it is, whether it answers, one writer at a time, errors in one line."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from results.records.store import Store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# A server that answers nothing for this long is taken for down. MLflow itself would try for many minutes.
_PROBE_SECONDS = 4.0
_REQUEST_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


class TrackingError(RuntimeError):
    """MLflow could not be reached or refused; one line for people, naming the tracking URI."""


def tracking_uri(store: Store) -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in the store, which needs nothing started."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(store.path / 'mlflow.db').as_posix()}"


def client(store: Store) -> MlflowClient:
    """MLflow's client for a store, set up so that it gives up on a dead server within seconds."""
    from mlflow.tracking import MlflowClient

    store.path.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(store)
    if uri.startswith("sqlite:"):
        _relax_sqlite()
    return MlflowClient(uri)


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
        raise TrackingError(f"MLflow is not installed here ({error}); `pip install --group mlflow` does that.") from error


def check_reachable(uri: str) -> None:
    """Ask a server whether it is there.

    Raises:
        TrackingError: no answer within a few seconds.
    """
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=_PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # an answer, if only "who are you": the server is there, and MLflow brings the credentials
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TrackingError(f"The MLflow server {without_password(uri)} does not answer ({reason}).") from error


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
        with filelock.FileLock(lock, timeout=600):
            yield
    except filelock.Timeout as error:
        raise TrackingError(f"Another process has held {lock} for ten minutes.") from error
    except OSError as error:
        raise TrackingError(f"The store {store.path} cannot be written ({error}).") from error


@contextlib.contextmanager
def errors_in_one_line(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database and its artifact store raise into one line."""
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        first_line = next(iter(str(error).splitlines()), "")[:300]
        raise TrackingError(f"MLflow at {uri} refused or broke off: {first_line}") from error


def without_password(uri: str) -> str:
    """The URI with a password in it blanked out, for messages."""
    return re.sub(r"//([^/:@]*):[^/@]*@", r"//\1:***@", uri)
