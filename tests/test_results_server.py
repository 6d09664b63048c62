"""MLflow behind a real server that is down, silent, or killed and started again while it is being written to."""

import math
import socket
import threading
import time

from mlflow.tracking import MlflowClient
from mlflow_server import Server, children, free_port, runs_of
from results_examples import distill

from results import Store
from results.tracking import send

CELLS = 16


def test_a_server_down_then_killed_in_the_middle_then_back_has_everything_once(tmp_path, monkeypatch):
    store, running = Store(tmp_path / "store"), Server(tmp_path / "server", free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for seed in range(CELLS):
        store.write(distill(seed=seed, second=10 * seed, invocation=f"suite-{seed // (CELLS // 2)}"))

    started = time.monotonic()
    outcome = send.sync(store)
    assert time.monotonic() - started < 6 and outcome.queued == len(store.queued()) == CELLS
    assert running.uri in str(outcome) and "nox -s sync" in str(outcome) and "\n" not in str(outcome)
    try:
        running.start()
        outcomes = []
        sending = threading.Thread(target=lambda: outcomes.append(send.sync(store)))
        sending.start()
        while sending.is_alive() and len(store.queued()) > CELLS - 4:
            time.sleep(0.01)
        running.kill()
        sending.join()
        assert 0 < outcomes[0].queued == len(store.queued()) <= CELLS - 4 and outcomes[0].problem

        running.start()
        outcome = send.sync(store)
        assert outcome.problem == "" and outcome.sent >= len(store.queued()) == 0
        check_everything_is_there_once(MlflowClient(running.uri))
        assert send.sync(store).sent == 0
    finally:
        running.kill()
    assert not (store.path / "mlflow.db").exists()


def check_everything_is_there_once(client):
    runs = children(client, "abkd-distill")
    assert sorted(int(run.data.params["seed"]) for run in runs) == list(range(CELLS))
    everything = runs_of(client, "abkd-distill")
    assert len(everything) == CELLS + 2 and all(run.info.status == "FINISHED" for run in everything)
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0), (3, 0.25)]
        assert all(math.isfinite(value) for value in run.data.metrics.values()) and len(run.data.metrics) == 4
    assert client.list_artifacts(runs[-1].info.run_id, "figures")[0].path == "figures/learning_curves.png"


def test_a_server_that_accepts_but_never_answers_is_noticed_within_seconds(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        outcome = send.sync(store)
    assert time.monotonic() - started < 8 and outcome.queued == 1 and "does not answer" in outcome.problem
