"""An MLflow that answers oddly costs one line and a bounded time; the records stay queued."""

import base64
import contextlib
import http.server
import os
import sqlite3
import threading
import time

import pytest
from results_examples import distill

from results import Store
from results.tracking import database, send

SECONDS = 2.0


class Odd(http.server.BaseHTTPRequestHandler):
    """A server whose health is well, and whose other answers are those of its mode."""

    mode, seen = "", []

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization"))
        if self.path.endswith("/health"):
            self.answer(200, b"OK")
        elif self.mode == "try again in an hour":
            self.answer(503, b"", {"Retry-After": "3600"})
        elif self.mode == "single bytes":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)
        elif self.mode == "silence":
            time.sleep(30)
        else:
            self.answer(200, self.mode.encode(), {"Content-Type": "application/json"})

    do_POST = do_GET

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        with contextlib.suppress(OSError):  # the client gave up
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture
def odd():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Odd.seen.clear()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(send, "_SERVER_SECONDS", SECONDS)
    store = Store(tmp_path / "store")
    for seed in range(3):
        store.write(distill(seed=seed, second=seed))
    return store


def sent(store, within=SECONDS + 6):
    """What became of sending: one line, in time, nothing lost."""
    started = time.monotonic()
    outcome = send.sync(store)
    assert time.monotonic() - started < within
    assert outcome.queued == len(store.queued()) == len(store.records()) == 3
    assert outcome.problem and "\n" not in str(outcome) and "nox -s sync" in str(outcome)
    return outcome.problem


MODES = [
    "try again in an hour",
    "single bytes",
    "silence",
    "[1, 2",
    '{"experiment": 5}',
    '{"experiment": {"id": [[]]}}',
    "<html>",
]


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_answers_oddly_is_given_up_in_time(store, odd, monkeypatch, mode):
    monkeypatch.setattr(Odd, "mode", mode)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{odd}")
    problem = sent(store)
    assert f"127.0.0.1:{odd}" in problem
    if mode in ("single bytes", "silence"):
        assert f"did not answer within {SECONDS:g} s" in problem


def test_credentials_in_the_address_are_used_and_not_shown(store, odd, monkeypatch):
    monkeypatch.setattr(Odd, "mode", "[")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:password@127.0.0.1:{odd}")
    problem = sent(store)
    assert "does not answer" not in problem and "password" not in problem
    assert Odd.seen[0] == "Basic " + base64.b64encode(b"user:password").decode()


@pytest.mark.parametrize("damage", ["random bytes", "cut off", "overwritten", "a folder"])
def test_a_damaged_database_is_named_at_once(store, damage):
    path = store.path / "mlflow.db"
    if damage == "a folder":
        path.mkdir()
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE experiments (experiment_id, artifact_location)")
            connection.executemany("INSERT INTO experiments VALUES (?, ?)", [(n, "x" * 300) for n in range(1000)])
        connection.close()
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 3 : len(whole) // 2] = os.urandom(len(whole) // 2 - len(whole) // 3)
        path.write_bytes({"random bytes": os.urandom(9999), "cut off": whole[:20000], "overwritten": bytes(whole)}[damage])
    assert f"{path} cannot be used" in sent(store)


def test_a_database_that_another_process_has_locked_is_waited_for_a_while(store, monkeypatch):
    monkeypatch.setattr(database, "_LOCKED_SECONDS", 0.5)
    holder = sqlite3.connect(store.path / "mlflow.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    assert "is locked by another process" in sent(store)
    holder.close()
