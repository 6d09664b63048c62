"""A store that is copied, renamed or thinned out writes nothing into its old place, and MLflow has each record once."""

import hashlib
import shutil
import sqlite3

import pytest
from mlflow.tracking import MlflowClient
from mlflow_server import Server, children, free_port, runs_of
from results_examples import agreement, distill

from results import Store
from results.__main__ import main
from results.records.store import StoreWarning
from results.tracking import send


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A store that MLflow knows in its place; nothing may be written there any more."""
    store = Store(tmp_path_factory.mktemp("old") / "store")
    for seed in range(2):
        store.write(distill(seed=seed, second=seed))
    store.write(agreement(details={"worst": [{"quantity": "value", "excess": 0.25}]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert send.sync(store).problem == ""
    with sqlite3.connect(store.path / "mlflow.db") as database:  # all in one file, which others may copy
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = contents(store.path)
    yield store
    assert contents(store.path) == before


def contents(folder):
    """What each file holds, and when it was written."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@pytest.fixture
def moved(original, tmp_path):
    """A renamed copy with a record that MLflow does not have yet, beside the original."""
    before = contents(original.path)
    store = Store(tmp_path / "elsewhere" / "renamed")
    shutil.copytree(original.path, store.path)
    store.write(distill("kd", seed=5, second=50, invocation="after the move"))
    yield store
    assert contents(original.path) == before


def client_of(store):
    return MlflowClient(send.tracking_uri(store))


def test_a_renamed_copy_writes_into_its_own_place_and_knows_what_was_sent(moved):
    outcome = send.sync(moved)
    assert (outcome.sent, outcome.known, outcome.problem) == (1, 3, "")
    client = client_of(moved)
    runs = [run for suite in ("distill", "agreement") for run in runs_of(client, f"abkd-{suite}")]
    assert len(runs) == 4 + 3 and all(run.info.artifact_uri.startswith(moved.path.as_uri()) for run in runs)
    for run in children(client, "abkd-distill"):
        assert [a.path for a in client.list_artifacts(run.info.run_id, "figures")] == ["figures/learning_curves.png"]
    assert len(list(moved.path.glob("mlartifacts/abkd-distill/*/artifacts/figures/learning_curves.png"))) == 3


def test_sync_builds_the_files_that_a_copy_lacks_and_no_second_run(moved):
    shutil.rmtree(moved.path / "mlartifacts")
    assert send.sync(moved).sent == 4 and send.sync(moved).sent == 0
    client = client_of(moved)
    assert len(runs_of(client, "abkd-distill")) == 5
    for run in children(client, "abkd-distill"):
        assert client.list_artifacts(run.info.run_id, "figures")
        assert [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3]


def test_records_alone_under_an_odd_name_are_enough_and_the_database_lies_inside(original, tmp_path):
    store = Store(tmp_path / "x #%?&'x")
    shutil.copytree(original.path / "records", store.path / "records")
    assert send.sync(store).sent == 3 and (store.path / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["x #%?&'x"]
    assert len(list(store.path.glob("mlartifacts/abkd-distill/*/artifacts/figures/learning_curves.png"))) == 2
    assert send.sync(store).sent == 0


def test_a_database_elsewhere_that_names_the_old_place_gets_figures_but_no_files(original, moved, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    shutil.copy(original.path / "mlflow.db", tmp_path / "shared" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared/mlflow.db")
    outcome = send.sync(moved)
    assert outcome.sent == 1 and f"another store, {original.path}" in str(outcome)
    (run,) = [run for run in children(client_of(moved), "abkd-distill") if run.data.params["seed"] == "5"]
    assert run.data.metrics["test/accuracy"] == 0.97


def test_a_server_that_names_the_old_place_gets_figures_but_no_files(original, moved, tmp_path, monkeypatch):
    server = Server(tmp_path / "server", free_port())
    shutil.copy(original.path / "mlflow.db", server.folder / "server.db")
    try:
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        outcome = send.sync(moved)
    finally:
        server.kill()
    assert outcome.sent == 1 and f"another store, {original.path}" in str(outcome)


def test_what_a_record_names_outside_of_its_folder_is_never_sent(moved, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    own = moved.artifacts_of("distill", "distill-torch-kd-5")
    (own / "link").symlink_to(secret)
    (own / "weights").write_text("weights")
    base = "artifacts/distill/distill-torch-kd-5"
    places = {"up": "../../secret.txt", "abs": "/etc/hostname", "link": f"{base}/link", "null": "a\0b", "db": "mlflow.db"}
    record = distill("kd", seed=5, second=50, invocation="hostile", artifacts={**places, "good": f"{base}/weights"})
    moved.write(record)
    with pytest.warns(StoreWarning, match="lies outside"):
        assert [name for name in record.artifacts if moved.file_of(record, name)] == ["good"]
        assert send.sync(moved).sent == 1
    client = client_of(moved)
    (run,) = [run for run in children(client, "abkd-distill") if run.data.params["seed"] == "5"]
    assert sorted(a.path for a in client.list_artifacts(run.info.run_id)) == ["figures", "good"]


def test_cells_that_could_not_run_are_counted_and_have_no_runs(moved):
    for number, status in enumerate(("missing-data", "unsupported", "missing-weights")):
        moved.write(distill(seed=20 + number, status=status, metrics={}, curves={}, second=60, invocation="after the move"))
    outcome = send.sync(moved)
    assert (
        (outcome.sent, outcome.left_out) == (1, 3) and moved.queued() == [] and "3 of cells that could not run" in str(outcome)
    )
    client = client_of(moved)
    assert len(children(client, "abkd-distill")) == 3
    parents = [run for run in runs_of(client, "abkd-distill") if "abkd.key" not in run.data.tags]
    (parent,) = [run for run in parents if run.data.tags["abkd.invocation"] == "after the move"]
    assert parent.data.tags["cells.unsupported"] == "1" and parent.info.status == "FINISHED"


def test_the_run_of_a_command_is_named_after_its_best_setting_and_has_its_figures(moved):
    send.sync(moved)
    client = client_of(moved)
    parents = {r.data.tags["abkd.invocation"]: r for r in runs_of(client, "abkd-distill") if "abkd.key" not in r.data.tags}
    run = parents["first"]
    assert run.info.run_name == "best abkd (0.8, 0.2) 0.9700 (2 seeds), distill torch 2026-01-01 00:00"
    assert run.data.metrics["test/accuracy"] == pytest.approx(0.97)


def test_one_record_that_cannot_be_sent_stops_no_other(moved, monkeypatch):
    for name, invocation in (("it's", "it's"), ("both \" and '", "both \" and '"), ("back\\", "back\\")):
        moved.write(distill("sft", seed=len(name), second=60, key=f"odd-{len(name)}", invocation=invocation))
    bad = distill("kd", seed=6, second=40, key="bad", invocation="after the move", cell={"x\ny": "z" * 7000, "": 1})
    moved.write(bad)
    log = MlflowClient.log_batch

    def refuse(self, run_id, metrics=(), params=(), **rest):
        if any(param.value == "6" and param.key == "seed" for param in params):
            raise TypeError("a record that MLflow cannot take")
        return log(self, run_id, metrics=metrics, params=params, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    outcome = send.sync(moved)
    assert outcome.sent == 4 and outcome.queued == 1 and "the record bad was refused: TypeError" in outcome.problem
    assert moved.queued() == [("distill", "bad")] and "\n" not in str(outcome)
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert send.sync(moved).sent == 1 and send.sync(moved).sent == 0
    runs = runs_of(client_of(moved), "abkd-distill")
    assert len(runs) == 3 + 2 + 1 + 3 * 2


def test_remove_says_first_what_it_would_do_and_takes_the_runs_with_it(moved, capsys):
    assert send.sync(moved).sent == 1
    own = moved.artifacts_of("distill", "distill-torch-kd-5")
    (own / "weights").write_text("weights")
    words = ["remove", "--store", str(moved.path), "--where", "method=kd"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 of 4 records" in printed and "kd T4.0 seed 5" in printed.replace("T4 ", "T4.0 ") and "--yes" in printed
    assert len(moved.records()) == 4 and own.is_dir()
    assert main([*words, "--yes"]) == 0
    assert "1 runs deleted" in capsys.readouterr().out
    assert len(moved.records()) == 3 and not own.exists() and moved.queued() == []
    runs = runs_of(client_of(moved), "abkd-distill")
    assert {run.data.tags["abkd.invocation"] for run in runs} == {"first"}  # the command's own run is gone too
    assert send.sync(moved).sent == 0
    assert main([*words, "--yes"]) == 1 and "method is there with abkd" in capsys.readouterr().err


def test_remove_wants_a_selection_and_removes_nothing_where_mlflow_does_not_answer(moved, capsys, monkeypatch):
    assert main(["remove", "--store", str(moved.path), "--yes"]) == 2
    assert "needs --where" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    words = ["remove", "--store", str(moved.path), "--where", "method=kd", "--yes"]
    assert main(words) == 1 and "Nothing has been removed" in capsys.readouterr().err and len(moved.records()) == 4
    assert main([*words, "--no-mlflow"]) == 0 and len(moved.records()) == 3
