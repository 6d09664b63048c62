"""MLflow behind a real server that is down, silent, late, or killed while it is being written to."""

import math
import socket
import threading
import time

from mlflow.tracking import MlflowClient
from mlflow_server import Server, children, free_port, runs_of, server
from results_examples import distill

from results import Store, tracking


def test_a_server_that_is_down_loses_nothing_and_doubles_nothing(tmp_path, monkeypatch):
    store, port = Store(tmp_path / "store"), free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    records = [distill(seed=seed, second=seed) for seed in range(2)]
    for record in records:
        store.write(record)
    started = time.monotonic()
    outcome = tracking.send(records, store)
    assert time.monotonic() - started < 6
    assert outcome.queued == 2 and len(store.queued()) == 2
    assert f"127.0.0.1:{port}" in str(outcome) and "nox -s sync" in str(outcome) and "\n" not in str(outcome)

    with server(tmp_path / "server", port):
        assert tracking.sync(store).sent == 2 and store.queued() == []
        third = distill(seed=2, second=30)
        store.write(third)
        assert tracking.send([third], store).sent == 1
        client = MlflowClient(f"http://127.0.0.1:{port}")
        assert len(children(client, "abkd-distill")) == 3
        run = children(client, "abkd-distill")[0]
        assert client.list_artifacts(run.info.run_id, "figures")[0].path == "figures/learning_curves.png"
    assert not (store.path / "mlflow.db").exists()


def test_a_server_that_accepts_but_never_answers_is_noticed_within_seconds(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        outcome = tracking.sync(store)
    assert time.monotonic() - started < 8 and outcome.queued == 1 and "does not answer" in outcome.problem


def test_a_server_killed_and_started_again_while_it_is_written_to_has_everything_once(tmp_path, monkeypatch):
    store, running = Store(tmp_path / "store"), Server(tmp_path / "server", free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for seed in range(16):
        store.write(distill(seed=seed, second=10 * seed, invocation=f"suite-{seed // 8}"))
    try:
        running.start()
        client, kills = MlflowClient(running.uri), 0
        while kills < 2:
            sending = threading.Thread(target=tracking.sync, args=(store,))
            sending.start()
            waiting = len(store.queued())
            while sending.is_alive() and len(store.queued()) > waiting - 4:
                time.sleep(0.01)
            time.sleep(0.03 * kills)  # another moment within a record each time
            running.kill()
            kills += 1
            sending.join()
            assert store.queued()
            running.start()
        assert tracking.sync(store).problem == "" and store.queued() == []
        runs = children(client, "abkd-distill")
        assert sorted(int(run.data.params["seed"]) for run in runs) == list(range(16))
        assert len(runs_of(client, "abkd-distill")) == 18 and all(run.info.status == "FINISHED" for run in runs)
        for run in runs:
            history = client.get_metric_history(run.info.run_id, "train/loss")
            assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0), (3, 0.25)]
            assert all(math.isfinite(value) for value in run.data.metrics.values()) and len(run.data.metrics) == 4
        assert tracking.sync(store).sent == 0
    finally:
        running.kill()
