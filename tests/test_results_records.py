"""Records and the store: what is written comes back, and nothing that lies in the store stops a reader."""

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import time
import warnings

import numpy
import pytest
from results_examples import distill, diverged, stamp

from results import Record, Store, StoreError, environment
from results.records import RecordError, newest
from results.store import StoreWarning, default_path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_record_comes_back_as_it_was_written(store):
    record = distill()
    store.write(record)
    assert store.get("distill", record.key) == record
    assert store.get("distill", "another") is None


def test_non_finite_figures_are_null_on_disk_and_named_in_details(store):
    record = diverged(details={"worst": [{"got": -math.inf}]})
    on_disk = json.loads(store.write(record).read_text())
    assert on_disk["metrics"]["train/loss"] is None
    assert on_disk["details"]["non_finite"] == {
        "train/loss": "nan",
        "test/nll": "inf",
        "curves/train/loss/1": "nan",
        "details/worst/0/got": "-inf",
    }
    read = store.get("distill", record.key)
    assert math.isnan(read.metrics["train/loss"]) and read.metrics["test/nll"] == math.inf
    assert math.isnan(read.curves["train/loss"][1]) and read.details["worst"][0]["got"] == -math.inf
    assert read.non_finite() == {"train/loss": "nan", "test/nll": "inf"}


def test_arrays_and_numpy_scalars_become_plain_numbers(store):
    record = distill(
        details={"logits": numpy.eye(2, dtype=numpy.float32)}, metrics={"test/accuracy": numpy.float32(0.5)}
    )
    store.write(record)
    read = store.get("distill", record.key)
    assert read.details["logits"] == [[1, 0], [0, 1]] and read.metrics["test/accuracy"] == 0.5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status": "fine"}, "status='fine'"),
        ({"key": "../outside"}, "key='../outside'"),
        ({"metrics": {"test/accuracy": None}}, "test/accuracy=None"),
        ({"metrics": {"a:b?": 1.0}}, "a:b"),
        ({"curves": []}, "curves="),
    ],
)
def test_a_field_that_does_not_hold_what_it_must_is_named(change, named):
    with pytest.raises(ValueError, match=named.replace("?", ".").replace("(", ".")):
        dataclasses.replace(distill(), **change)


def test_what_json_cannot_hold_is_refused_with_its_type(store):
    with pytest.raises(TypeError, match="complex"):
        store.write(distill(details={"x": 1j}))


def test_the_newest_record_of_a_key_counts_and_selection_works(store):
    store.write(distill(accuracy=0.5))
    store.write(distill(accuracy=0.6))
    store.write(distill(seed=1, backend="jax", second=60))
    store.write(diverged())
    assert [r.metrics["test/accuracy"] for r in store.records(suite="distill", backend="torch", status="ok")] == [0.6]
    assert len(store.records()) == 3 and store.records(suite="loss") == []


def test_a_cell_whose_code_changed_counts_once():
    old = distill(accuracy=0.5)
    new = distill(accuracy=0.9, key="another-key", second=100)
    assert newest([new, old]) == [new]


def test_torn_and_foreign_files_are_skipped_by_name(store):
    path = store.write(distill())
    path.with_name("torn.json").write_text(path.read_text()[:200])
    path.with_name("foreign.json").write_text("[1, 2]")
    path.with_name("binary.json").write_bytes(b"\xff\xfe\x00")
    path.with_name("later.json").write_text('{"schema": 99}')
    with pytest.warns(StoreWarning) as warned:
        assert len(store.records()) == 1
    text = " ".join(str(w.message) for w in warned)
    assert all(name in text for name in ("torn.json", "foreign.json", "binary.json", "later.json"))
    with pytest.raises(RecordError, match="schema 99"):
        Record.from_json('{"schema": 99}')


def test_the_frame_has_cells_and_metrics_as_columns(store):
    store.write(distill(cell={"options": {"a": 1}}))
    store.write(distill("kd", 1))
    frame = store.frame()
    assert set(frame["method"]) == {"abkd", "kd"} and frame["test/accuracy"].mean() == pytest.approx(0.97)
    assert list(frame.groupby(["backend", "method"]).size()) == [1, 1]


def test_a_store_that_cannot_be_written_says_where_and_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "store")
    for attempt in (store.check_writable, lambda: store.write(distill())):
        with pytest.raises(StoreError, match=r"(?s)file/store.*ABKD_STORE"):
            attempt()


def test_a_writable_store_is_left_as_it_was(store):
    store.check_writable()
    assert [p for p in store.path.rglob("*") if p.is_file()] == []


def test_the_store_lies_where_ABKD_STORE_says_or_in_the_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABKD_STORE", str(tmp_path / "elsewhere"))
    assert default_path() == tmp_path / "elsewhere"
    monkeypatch.delenv("ABKD_STORE")
    assert default_path().parts[-2:] == ("results", "store") and tmp_path not in default_path().parents


def _write_many(path, name):
    store = Store(path)
    for seed in range(10_000):
        store.write(distill(seed=seed, key=f"{name}-{seed}"))


def test_killed_writers_leave_complete_records_only(store):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(store.path, name)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    while len(list(store.path.glob("records/distill/*.json"))) < 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a torn record would warn
        records = store.records()
    assert len(records) >= 100 and len({r.key for r in records}) == len(records)


def test_the_environment_names_hardware_and_versions(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = environment.capture()
    assert found["cores"] >= 1 and found["memory_gb"] > 0 and found["version.numpy"] == numpy.__version__
    assert found["variable.OMP_NUM_THREADS"] == "2"
    assert all(isinstance(value, (str, int, float, bool)) for value in found.values())


def test_times_order_records(store):
    late, early = distill(seed=1, second=50), distill(seed=2, second=10)
    store.write(late)
    store.write(early)
    assert [r.finished for r in store.records()] == [stamp(19), stamp(59)]
