"""The MLflow UI on this machine only, on the store's own data."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from results.records.store import Store
from results.tracking import connection, database, send, supervised, views

_HOST = "127.0.0.1"
_START_SECONDS = 90


class UIError(RuntimeError):
    """The UI cannot be served; one sentence."""


def serve(store: Store, port: int = 5000) -> int:
    """Run `mlflow server` on 127.0.0.1 until Ctrl-C; an empty store is fine.

    Args:
        store: whose MLflow data to show, unless MLFLOW_TRACKING_URI names a database elsewhere.
        port: where to listen.

    Returns:
        Exit status: 0 after Ctrl-C, 1 where the server did not start.

    Raises:
        results.records.store.StoreError: the store's folder cannot be made.
    """
    uri = send.tracking_uri(store)
    if uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a server that has its own UI: {send.without_password(uri)}")
        return 0
    try:
        _check_port(port)
        connection.prepare(store, uri)
    except (UIError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    waiting = send.describe_queue(store)
    if waiting:
        print(waiting)
    command = [sys.executable, "-P", supervised.__file__, sys.executable, "-m", "mlflow", "server"]
    command += ["--backend-store-uri", uri, "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", database.artifacts_of(store).as_uri()]
    # The server makes files beside its current directory; the store is the place for them.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    signal.signal(signal.SIGTERM, _interrupt)  # ended by another program: the server must not stay behind
    server = subprocess.Popen(
        command, cwd=store.path, env={**quiet, **os.environ}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        if not _wait(server, port):
            print(f"The MLflow server did not start on http://{_HOST}:{port} (see above).", file=sys.stderr)
            return 1
        address = f"http://{_HOST}:{port}"
        print(f"MLflow UI: {address}  (store {store.path}; Ctrl-C ends it)")
        for name, experiment in _experiments(address):
            print(f"  {name}: {views.url(address, experiment)}")
        sys.stdout.flush()
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.stdin.close()  # the sign for it to end, with the workers that it started
        server.wait()


def _experiments(address: str) -> list[tuple[str, str]]:
    """(name, id) of the suites' experiments that the server has."""
    body = json.dumps({"max_results": 1000, "filter": "name LIKE 'abkd-%'"}).encode()
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/experiments/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        experiments = json.load(answer).get("experiments", [])
    return sorted((experiment["name"], experiment["experiment_id"]) for experiment in experiments)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _check_port(port: int) -> None:
    """Try to listen there.

    Raises:
        UIError: the port cannot be used; the message says why and what to do.
    """
    if not 1 <= port <= 65535:
        raise UIError(f"--port {port} is no port; choose one from 1024 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except PermissionError as error:
            raise UIError(f"Port {port} is not allowed on {_HOST}; choose one above 1023 with --port.") from error
        except OSError as error:
            raise UIError(f"Port {port} is in use on {_HOST}; choose another with --port.") from error


def _wait(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server answers before it exits or the time is up."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://{_HOST}:{port}/health", timeout=2).close()
            return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return False
