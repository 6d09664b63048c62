"""Records and the store: what is written comes back, and nothing that lies in the store stops a reader."""

import dataclasses
import json
import math
import multiprocessing
import os
import pathlib
import random
import shutil
import time
import warnings

import numpy as np
import pytest
from results_examples import distill, diverged, stamp

from results import Record, Status, Store, StoreError
from results.records import environment, schema, sweep_notes
from results.records.record import RecordError, newest
from results.records.store import StoreWarning, default_path


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
    record = distill(details={"logits": np.eye(2, dtype=np.float32)}, metrics={"test/accuracy": np.float32(0.5)})
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


def rewritten(store, path, change):
    """A good record's file with one thing changed, under a name of its own."""
    fields = json.loads(path.read_text())
    change(fields)
    bad = path.with_name(f"{fields['key']}.json")
    bad.write_text(json.dumps(fields))
    return bad


def put(*place, value):
    def change(fields):
        fields["key"] = "bad"
        for step in place[:-1]:
            fields = fields[step]
        fields[place[-1]] = value

    return change


HOSTILE = {
    "finished is a number": put("finished", value=5),
    "finished is no time": put("finished", value="yesterday"),
    "backend is a list": put("backend", value=["torch"]),
    "message is a dict": put("message", value={}),
    "a metric of 10**400": put("metrics", "test/accuracy", value=10**400),
    "a metric of text": put("metrics", "test/accuracy", value="0.9"),
    "a field of 10**400": put("cell", "alpha", value=10**400),
    "a curve of 10**400": put("curves", "train/loss", value=[10**400]),
    "a curve that is a number": put("curves", "train/loss", value=3),
    "an artifact that is a list": put("artifacts", value={"student": ["x"]}),
    "a detail of another kind": put("details", "decided", value=[1]),
    "load of text": put("details", "system", value={"seconds": ["x"]}),
    "worst of numbers": put("details", "worst", value=[1, 2]),
    "non-finite at no place": put("details", "non_finite", value={"curves/train/loss/99": "nan"}),
    "non-finite in nothing": put("details", "non_finite", value={"nowhere/at/all": "nan"}),
    "non-finite of another word": put("details", "non_finite", value={"test/accuracy": ["nan"]}),
    "non-finite that is a list": put("details", "non_finite", value=[1]),
    "details are missing": lambda fields: (fields.pop("details"), fields.update(key="bad")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_record_that_is_none_is_skipped_with_a_warning_that_names_it(store, kind):
    path = store.write(distill())
    rewritten(store, path, HOSTILE[kind])
    with pytest.warns(StoreWarning, match="bad.json"):
        assert [record.key for record in store.records()] == [distill().key]
    with pytest.warns(StoreWarning, match="bad.json"):
        assert store.get("distill", "bad") is None


def test_what_is_no_file_is_skipped_and_waited_for_by_nobody(store):
    folder = store.write(distill()).parent
    (folder / "folder.json").mkdir()
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "nowhere.json").symlink_to("nothing")
    (folder / "endless.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.json")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "deeper.json").write_text('{"schema": 2, "cell": ' + '{"a":' * 900 + "1" + "}" * 900)
    with pytest.warns(StoreWarning) as warned:
        assert len(store.records()) == 1
    text = " ".join(str(w.message) for w in warned)
    assert all(name in text for name in ("folder.json", "loop.json", "endless.json", "pipe.json", "deep.json", "deeper.json"))


def test_a_copy_under_the_key_of_another_cell_is_not_that_cell(store):
    path = store.write(distill(seed=0))
    shutil.copy(path, path.with_name(f"{distill(seed=1).key}.json"))
    with pytest.warns(StoreWarning, match="it is a copy of the record distill/distill-torch-abkd-0"):
        assert store.get("distill", distill(seed=1).key) is None
    with pytest.warns(StoreWarning):
        assert [record.cell["seed"] for record in store.records()] == [0]


def test_a_note_of_a_sweep_that_nobody_can_read_is_skipped(store):
    sweep_notes.write(store, "sweep-1", ["key"], {"alpha": "0.5"})
    assert sweep_notes.read(store, "sweep-1")["keys"] == ["key"]
    for number, text in enumerate(("[", "[" * 100_000, "[1]", '{"keys": 1, "words": {}}', "{}")):
        (store.path / "sweeps" / f"bad-{number}.json").write_text(text)
        with pytest.warns(StoreWarning, match=f"bad-{number}"):
            assert sweep_notes.read(store, f"bad-{number}") is None
    assert sweep_notes.read(store, "../sweeps/sweep-1") is None and sweep_notes.read(store, "it's") is None


@pytest.mark.parametrize("invocation", ["../../../outside", "it's", "", "a/b"])
def test_figures_of_a_command_stay_in_the_store_whatever_it_is_called(store, invocation):
    folder = store.invocation_dir("distill", invocation)
    assert folder.resolve().parent == (store.path / "artifacts" / "distill").resolve()


def test_the_frame_has_cells_and_metrics_as_columns(store):
    store.write(distill(cell={"options": {"a": 1}}))
    store.write(distill("kd", 1))
    frame = store.frame()
    assert set(frame["method"]) == {"abkd", "kd"} and frame["test/accuracy"].mean() == pytest.approx(0.97)
    assert list(frame.groupby(["backend", "method"]).size()) == [1, 1]
    assert frame["environment.cpu"].tolist() == ["a processor"] * 2 and frame["curve.train/loss"][0] == [2.0, 1.0, 0.25]
    assert set(frame["status"]) == {"ok"} and frame["timing_key"].notna().all()


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
    for number in range(40):
        if store.get("distill", f"{name}-{number}") is None:
            store.write(distill(seed=number, key=f"{name}-{number}", cell={"pair": name}))
            time.sleep(0.01)  # some time to be killed in


def test_eight_writers_killed_and_started_again_leave_every_record_once(store):
    context, chance = multiprocessing.get_context("fork"), random.Random(0)
    names = [f"writer{number}" for number in range(8)]
    writers = {name: context.Process(target=_write_many, args=(store.path, name)) for name in names}
    for writer in writers.values():
        writer.start()
    kills, deadline = 0, time.monotonic() + 60
    while writers:
        assert time.monotonic() < deadline
        if kills < 30:
            chance.choice(list(writers.values())).kill()  # SIGKILL, unless it has just ended
            kills += 1
        time.sleep(0.01)
        for name, writer in list(writers.items()):
            if writer.exitcode == 0:
                del writers[name]
            elif writer.exitcode is not None:
                writers[name] = context.Process(target=_write_many, args=(store.path, name))
                writers[name].start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a torn record would warn
        records = store.records()
    assert kills >= 10 and sorted(r.key for r in records) == sorted(f"{n}-{i}" for n in names for i in range(40))
    assert len(newest(records)) == 320


def test_what_killed_writers_left_half_written_is_swept_away(store):
    folder = store.write(distill()).parent
    old, young = folder / ".old.tmp", folder / ".young.tmp"
    for path in (old, young):
        path.write_text("{")
    os.utime(old, (time.time() - 4000,) * 2)
    (store.path / "queue" / "distill" / "never-written").touch()
    store.check_writable()
    assert not old.exists() and young.exists()
    assert store.queued() == [("distill", "distill-torch-abkd-0")] and len(store.records()) == 1


FIRST_SCHEMA = """{"backend": "jax", "cell": {"method": "kd", "seed": 3}, "curves": {"train/loss": [2.0, null]},
"details": {"non_finite": {"curves/train/loss/1": "nan"}}, "environment": {"cores": 2}, "finished": "2026-01-01T00:00:00",
"invocation": "first", "key": "old", "message": "", "metrics": {"test/accuracy": 0.5}, "schema": 1, "started": "",
"status": "diverged", "suite": "distill", "timing_key": "t"}"""


def test_a_record_of_the_first_schema_is_read_and_its_file_left_alone(store):
    path = store.write(distill()).with_name("old.json")
    path.write_text(FIRST_SCHEMA)
    record = store.get("distill", "old")
    assert record.schema == schema.VERSION and record.artifacts == {} and record.status is Status.DIVERGED
    assert record.metrics == {"test/accuracy": 0.5} and math.isnan(record.curves["train/loss"][1])
    assert path.read_text() == FIRST_SCHEMA and len(store.records()) == 2
    assert Record.from_json(record.to_json()).cell == record.cell


def test_every_version_has_its_migration():
    assert sorted(schema.MIGRATIONS) == list(range(1, schema.VERSION))


@pytest.mark.parametrize("version", [99, 0, "2", None, True])
def test_a_newer_or_nonsensical_schema_is_refused_with_what_is_known(version):
    text = FIRST_SCHEMA.replace('"schema": 1', f'"schema": {json.dumps(version)}')
    with pytest.raises(RecordError, match="update the project" if version == 99 else "not a record.*1 to"):
        Record.from_json(text)


def test_statuses_are_typed_and_equal_to_their_words():
    record = distill(status="out-of-memory")
    assert record.status is Status.OUT_OF_MEMORY and record.status == "out-of-memory"
    assert json.loads(record.to_json())["status"] == "out-of-memory" and f"{record.status}" == "out-of-memory"


def test_the_environment_names_hardware_and_versions(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = environment.capture()
    assert found["cores"] >= 1 and found["memory_gb"] > 0 and found["version.numpy"] == np.__version__
    assert found["variable.OMP_NUM_THREADS"] == "2"
    assert all(isinstance(value, (str, int, float, bool)) for value in found.values())
    if (pathlib.Path(environment.__file__).parent.parent / ".git").exists():
        assert len(found["git_commit"]) == 40 and isinstance(found["git_dirty"], bool)


def test_cards_their_driver_and_clocks_are_named(monkeypatch):
    cards = {"name": "Card A", "driver_version": "580.1", "clocks.max.sm": "1980", "power.limit": "[N/A]"}

    def smi(*command):
        fields = command[1].partition("=")[2].split(",")
        return "\n".join([", ".join(cards.get(field, "7") for field in fields)] * 2)

    monkeypatch.setattr(environment, "_output", smi)
    monkeypatch.setattr(environment, "_has_cards", lambda: True)
    found = environment._gpu(environment._GPU_FIELDS)
    assert found["gpu"] == "Card A" and found["gpu_driver"] == "580.1" and found["gpu_mhz_max"] == "1980"
    assert "gpu_power_limit_w" not in found and environment.state()["now.gpu_mhz"] == "7"


def test_the_cores_of_a_container_are_read(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert environment._quota(tmp_path / "cpu.max") == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert environment._quota(tmp_path / "cpu.max") is None and environment._quota(tmp_path / "none") is None


def test_times_order_records(store):
    late, early = distill(seed=1, second=50), distill(seed=2, second=10)
    store.write(late)
    store.write(early)
    assert [r.finished for r in store.records()] == [stamp(19), stamp(59)]
