"""MLflow gets every record once: in the store's own SQLite file, and on a real server, up, down or late."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from mlflow.tracking import MlflowClient
from results_examples import agreement, distill, diverged, loss

from results import Store, tracking


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with records of every suite, sent to its own SQLite file."""
    store = Store(tmp_path_factory.mktemp("filled"))
    records = [distill("abkd", 0), distill("kd", 1, second=20), diverged(), agreement(), loss(), loss("framework_kl")]
    for record in records:
        store.write(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        outcome = tracking.send(records, store)
    return store, records, outcome


def runs_of(client, name):
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def children(client, name):
    return [run for run in runs_of(client, name) if "mlflow.parentRunId" in run.data.tags]


def client_of(store):
    return MlflowClient(tracking.tracking_uri(store))


def test_every_record_is_a_run_under_the_run_of_its_invocation(filled):
    store, records, outcome = filled
    assert (outcome.sent, outcome.queued, outcome.problem) == (len(records), 0, "") and store.queued() == []
    client = client_of(store)
    for suite in ("distill", "agreement", "loss"):
        runs = runs_of(client, f"abkd-{suite}")
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(parents) == 1
        inside = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
        assert {run.data.tags["abkd.key"] for run in inside} == {r.key for r in records if r.suite == suite}


def test_params_metrics_curves_and_environment_have_the_agreed_names(filled):
    store, records, _ = filled
    client = client_of(store)
    (run,) = [run for run in children(client, "abkd-distill") if run.data.params["method"] == "abkd"]
    expected = {"backend": "torch", "alpha": "0.8", "seed": "0", "scale": "smoke", "dtype": "float32", "device": "cpu"}
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics["test/accuracy"] == 0.97 and run.data.metrics["time/step_ms"] == 4.5
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0), (3, 0.25)]
    assert run.data.tags["environment.cpu"] == "a processor" and run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 9000


def test_the_run_table_shows_the_figures_that_matter(filled):
    store, _, _ = filled
    tags = client_of(store).get_experiment_by_name("abkd-distill").tags
    assert "metrics.`test/accuracy`" in tags["mlflow.sharedViewState.abkd"]


def test_figures_are_artifacts_under_the_store(filled):
    store, _, _ = filled
    client = client_of(store)
    for run in runs_of(client, "abkd-distill"):
        names = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "figures")]
        assert names == ["figures/learning_curves.png" if "abkd.key" in run.data.tags else "figures/methods.png"]
    assert list(store.path.glob("mlartifacts/abkd-distill/*/artifacts/figures/learning_curves.png"))
    (parent,) = [run for run in runs_of(client, "abkd-agreement") if "abkd.key" not in run.data.tags]
    names = [artifact.path for artifact in client.list_artifacts(parent.info.run_id, "figures")]
    assert names == ["figures/errors.png", "figures/near_lines.png"]


def test_non_finite_figures_are_tags_and_never_numbers(filled):
    store, _, _ = filled
    (run,) = [run for run in children(client_of(store), "abkd-distill") if run.data.params["seed"] == "3"]
    assert run.info.status == "FAILED" and run.data.tags["abkd.status"] == "diverged"
    assert run.data.tags["abkd.non_finite.train/loss"] == "nan" and run.data.tags["abkd.non_finite.test/nll"] == "inf"
    assert run.data.metrics == {"test/accuracy": 0.1, "train/loss": 2.0}
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_sending_twice_makes_no_second_run(filled):
    store, records, _ = filled
    before = len(runs_of(client_of(store), "abkd-distill"))
    again = tracking.sync(store)
    assert (again.sent, again.known) == (0, len(records))
    assert len(runs_of(client_of(store), "abkd-distill")) == before


def test_a_sending_that_broke_off_is_completed_not_doubled(tmp_path, monkeypatch):
    store = Store(tmp_path)
    records = [distill(seed=seed, second=seed) for seed in range(3)]
    for record in records:
        store.write(record)

    def breaks(self, run_id, *_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", breaks)
        with pytest.raises(KeyboardInterrupt):
            tracking.send(records, store)
    assert len(store.queued()) == 3
    assert tracking.sync(store).sent == 3
    client = client_of(store)
    runs = children(client, "abkd-distill")
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2"]
    assert all(run.info.status == "FINISHED" for run in runs)
    assert all(len(client.get_metric_history(run.info.run_id, "train/loss")) == 3 for run in runs)


def test_a_later_send_joins_the_run_of_its_invocation(tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        store.write(distill(seed=seed, second=seed))
        tracking.send([store.records()[-1]], store)
    runs = runs_of(client_of(store), "abkd-distill")
    assert len(runs) == 3 and len(children(client_of(store), "abkd-distill")) == 2


def test_a_deleted_experiment_is_restored(tmp_path):
    store = Store(tmp_path)
    store.write(distill())
    tracking.sync(store)
    client = client_of(store)
    client.delete_experiment(client.get_experiment_by_name("abkd-distill").experiment_id)
    store.write(distill(seed=1))
    assert tracking.sync(store).problem == ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(folder, port):
    """A real `mlflow server` on this machine."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=quick, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            assert time.monotonic() < deadline and process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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

    (tmp_path / "server").mkdir()
    with server(tmp_path / "server", port):
        assert tracking.sync(store).sent == 2 and store.queued() == []
        third = distill(seed=2, second=30)
        store.write(third)
        assert tracking.send([third], store).sent == 1
        client = MlflowClient(f"http://127.0.0.1:{port}")
        assert len(children(client, "abkd-distill")) == 3
        run = children(client, "abkd-distill")[0]
        assert client.list_artifacts(run.info.run_id, "figures")[0].path == "figures/learning_curves.png"
        store.write(distill(seed=3, second=40))
    assert tracking.sync(store).queued == 1 and len(store.queued()) == 1  # killed meanwhile
    with server(tmp_path / "server", port):
        assert tracking.sync(store).sent == 1
        assert len(children(MlflowClient(f"http://127.0.0.1:{port}"), "abkd-distill")) == 4
    assert not (store.path / "mlflow.db").exists()


def test_a_server_that_accepts_but_never_answers_is_noticed_within_seconds(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        outcome = tracking.sync(store)
    assert time.monotonic() - started < 8 and outcome.queued == 1 and "does not answer" in outcome.problem


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    outcome = tracking.sync(store)
    assert outcome.queued == 1 and "/proc/nowhere" in outcome.problem and "\n" not in outcome.problem


def test_passwords_stay_out_of_messages():
    assert tracking.without_password("https://me:secret@host/x") == "https://me:***@host/x"


def test_without_mlflow_records_stay_queued(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    outcome = tracking.sync(store)
    assert outcome.queued == 1 and "not installed" in outcome.problem


def test_importing_the_package_imports_neither_mlflow_nor_matplotlib():
    heavy = ("mlflow", "matplotlib", "pandas")
    code = f"import sys, results, results.tracking; sys.exit(any(m in sys.modules for m in {heavy}))"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
