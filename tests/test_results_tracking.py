"""MLflow gets every record once, in the store's own SQLite file; `test_results_server.py` has real servers."""

import json
import math
import multiprocessing
import os
import pathlib
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient
from mlflow_server import children, runs_of
from results_examples import agreement, distill, diverged, loss

from results import Store
from results.records import monitor
from results.tracking import send


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with records of every suite, sent to its own SQLite file."""
    store = Store(tmp_path_factory.mktemp("filled"))
    records = [distill("abkd", 0), distill("kd", 1, second=20), diverged(), loss(), loss("framework_kl")]
    records[0].metrics["time/total_s"] = 7.5
    records.append(agreement(details={"worst": [{"quantity": "value", "excess": 0.25}]}))
    for record in records:
        store.write(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        outcome = send.send(records, store)
    return store, records, outcome


def text_of(client, run, artifact):
    return pathlib.Path(client.download_artifacts(run.info.run_id, artifact)).read_text(encoding="utf-8")


def client_of(store):
    return MlflowClient(send.tracking_uri(store))


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
    assert run.data.params["precision"] == "float32"  # also of records that name none, so that a search finds them
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
        whole = ["figures/accuracy_against_time.png", "figures/methods.png"]
        assert names == (["figures/learning_curves.png"] if "abkd.key" in run.data.tags else whole)
    assert list(store.path.glob("mlartifacts/abkd-distill/*/artifacts/figures/learning_curves.png"))
    (parent,) = [run for run in runs_of(client, "abkd-agreement") if "abkd.key" not in run.data.tags]
    names = [artifact.path for artifact in client.list_artifacts(parent.info.run_id, "figures")]
    assert names == ["figures/error_budget.png", "figures/errors.png", "figures/near_lines.png"]


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
    again = send.sync(store)
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
            send.send(records, store)
    assert len(store.queued()) == 3
    assert send.sync(store).sent == 3
    client = client_of(store)
    runs = children(client, "abkd-distill")
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2"]
    assert all(run.info.status == "FINISHED" for run in runs)
    assert all(len(client.get_metric_history(run.info.run_id, "train/loss")) == 3 for run in runs)


def _sync(path, gate):
    gate.wait()
    send.sync(Store(path))


def test_two_processes_that_send_the_same_records_make_each_run_once(tmp_path):
    store = Store(tmp_path)
    for seed in range(6):
        store.write(distill(seed=seed, second=seed))
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(2)
    senders = [context.Process(target=_sync, args=(store.path, gate)) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [sender.exitcode for sender in senders] == [0, 0] and store.queued() == []
    runs = runs_of(client_of(store), "abkd-distill")
    assert sorted(run.data.params["seed"] for run in runs if "abkd.key" in run.data.tags) == list("012345")
    assert len(runs) == 7


DATA = {"digest": "5e09f53628755eb9b2c84b6280467de4", "source": "scikit-learn load_digits"}
SYSTEM = {"seconds": [0.5, 1.5], "system/cpu_utilization_percentage": [50.0, math.nan]}


def test_data_set_system_metrics_tables_and_the_student_come_along_once(tmp_path, monkeypatch):
    store = Store(tmp_path)
    place = store.artifacts_of("distill", "distill-torch-kd-0") / "student.safetensors"
    place.write_bytes(b"weights")
    kept = {"student": place.relative_to(store.path).as_posix(), "lost": "artifacts/never-was-there"}
    store.write(distill("kd", details={"data": DATA, "system": SYSTEM}, artifacts=kept))
    store.write(agreement(details={"worst": [{"got": [1.0, 2.0], "want": math.inf}, {"got": 3.0, "cell": "x"}]}))
    client = client_of(store)
    with monkeypatch.context() as patch:  # the first sending breaks off when all but the end is there
        patch.setattr(MlflowClient, "set_terminated", lambda *_, **__: 1 / 0)
        broken = send.sync(store)
        assert broken.queued == 2 and "ZeroDivisionError" in broken.problem
    assert send.sync(store).sent == 2
    (run,) = children(client, "abkd-distill")
    (used,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("digits", DATA["digest"])
    assert "load_digits" in used.dataset.source and used.tags[0].value == "training and test"
    (point,) = client.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage")
    assert point.value == 50.0 and point.timestamp == run.info.start_time + 500
    assert [a.path for a in client.list_artifacts(run.info.run_id, "student")] == ["student/student.safetensors"]
    assert client.list_artifacts(run.info.run_id, "lost") == []
    (run,) = children(client, "abkd-agreement")
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "tables/worst.json", "type": "table"}]
    table = json.loads(text_of(client, run, "tables/worst.json"))
    assert table == {"columns": ["got", "want", "cell"], "data": [["[1.0, 2.0]", "inf", None], [3.0, None, "x"]]}


def test_the_run_of_the_command_has_tables_of_its_cells(filled):
    store, records, _ = filled
    client = client_of(store)
    (parent,) = [run for run in runs_of(client, "abkd-distill") if "abkd.key" not in run.data.tags]
    table = json.loads(text_of(client, parent, "tables/cells.json"))
    column = table["columns"].index("test/accuracy")
    assert len(table["data"]) == 3 and sorted(row[column] for row in table["data"]) == [0.1, 0.97, 0.97]
    assert "nan" in [row[table["columns"].index("train/loss")] for row in table["data"]]  # a word, not a number
    comparison = text_of(client, parent, "tables/comparison.md")
    assert "### Methods" in comparison and "1 diverged" in comparison


def test_the_runs_of_one_cell_in_three_backends_line_up(tmp_path):
    store = Store(tmp_path)
    for backend in ("torch", "jax", "tensorflow"):
        store.write(distill("abkd", 0, backend, invocation=backend, details={"data": DATA, "system": SYSTEM}))
        store.write(distill("abkd", 1, backend, invocation=backend))
    send.sync(store)
    client = client_of(store)
    everything = children(client, "abkd-distill")
    cell = next(run.data.tags["abkd.cell"] for run in everything if run.data.params["seed"] == "0")
    experiment = client.get_experiment_by_name("abkd-distill").experiment_id
    runs = client.search_runs([experiment], f"tags.`abkd.cell` = '{cell}'")
    assert sorted(run.data.params["backend"] for run in runs) == ["jax", "tensorflow", "torch"]
    others = [{name: v for name, v in run.data.params.items() if name != "backend"} for run in runs]
    assert others[0] == others[1] == others[2] and {"pair", "method", "alpha", "seed", "device"} <= others[0].keys()
    assert len({frozenset(run.data.metrics) for run in runs}) == 1
    assert len({client.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset.digest for run in runs}) == 1


def test_the_monitor_samples_while_a_cell_runs_and_once_at_its_end():
    with monitor.Monitor(seconds=0.05) as running:
        sum(number * number for number in range(2_000_000))
    samples = running.samples()
    assert len(samples["seconds"]) >= 2 and samples["seconds"] == sorted(samples["seconds"])
    assert max(samples["system/process_cpu_percentage"]) > 10 and samples["system/process_memory_megabytes"][-1] > 10
    assert len({len(values) for values in samples.values()}) == 1
    with monitor.Monitor() as short:
        pass
    assert len(short.samples()["seconds"]) == 1


def test_the_monitor_of_a_long_cell_keeps_few_samples(monkeypatch):
    monkeypatch.setattr(monitor, "_MOST", 4)
    with monitor.Monitor(seconds=0.001) as running:
        while running._seconds < 0.03:
            pass
    assert len(running.samples()["seconds"]) <= 6


def test_a_later_send_joins_the_run_of_its_invocation(tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        store.write(distill(seed=seed, second=seed))
        send.send([store.records()[-1]], store)
    runs = runs_of(client_of(store), "abkd-distill")
    assert len(runs) == 3 and len(children(client_of(store), "abkd-distill")) == 2


def test_a_deleted_experiment_is_restored(tmp_path):
    store = Store(tmp_path)
    store.write(distill())
    send.sync(store)
    client = client_of(store)
    client.delete_experiment(client.get_experiment_by_name("abkd-distill").experiment_id)
    store.write(distill(seed=1))
    assert send.sync(store).problem == ""


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(distill())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    outcome = send.sync(store)
    assert outcome.queued == 1 and "/proc/nowhere" in outcome.problem and "\n" not in outcome.problem


def test_passwords_stay_out_of_messages():
    assert send.without_password("https://me:secret@host/x") == "https://me:***@host/x"


@pytest.mark.parametrize("missing", ["mlflow", "filelock", "sqlalchemy"])
def test_without_mlflow_records_stay_queued(tmp_path, monkeypatch, missing):
    """Machines with an accelerator often have the framework alone; their records are sent from another one."""
    store = Store(tmp_path)
    store.write(distill())
    hidden = {missing, *(name for name in sys.modules if name.partition(".")[0] in (missing, "mlflow"))}
    for name in hidden:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    outcome = send.sync(store)
    assert outcome.queued == 1 and "not installed" in outcome.problem and "nox -s sync" in str(outcome)


def test_importing_the_package_imports_neither_mlflow_nor_matplotlib():
    heavy = ("mlflow", "matplotlib", "pandas")
    code = f"import sys, results, results.tracking; sys.exit(any(m in sys.modules for m in {heavy}))"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
