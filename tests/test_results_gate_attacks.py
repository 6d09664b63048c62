"""What must not pass the gate: absences, nonsense, collapsed seeds, drift, comparisons that did not take place."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest
from results_examples import agreement, distill

from results import Store
from results.__main__ import main
from results.gate import baselines, coverage, judge, present, promises, verdicts
from results.gate.baselines import BaselineError
from results.gate.update import update
from suites.agreement import bounds

ACCURACIES = (0.965, 0.972, 0.969, 0.974, 0.966, 0.971, 0.968, 0.973, 0.970, 0.967)
AGREEMENT, DISTILL = "agreement-torch.json", "distill-torch.json"


def students(change=lambda accuracy, seed: accuracy, method="kd", backend="torch"):
    return [distill(method, seed, backend, change(accuracy, seed)) for seed, accuracy in enumerate(ACCURACIES)]


def everything(backend="torch"):
    return [*students(), *students(method="abkd"), agreement(), agreement("float64", value=1e-15, gradient=1e-14)]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "baselines"
    path.mkdir()
    update([*everything(), *students(backend="jax")], "the first recorded run", "abc", path)
    return path


@pytest.fixture
def gate(tmp_path, folder, monkeypatch, capsys):
    """Exit status and output of the gate on a store of these records, which count as those of today's code."""
    monkeypatch.setattr(present, "asked_of_suites", lambda records: [{"key": record.key, "code": {}} for record in records])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    numbers = iter(range(1000))

    def run(records, *words):
        store = Store(tmp_path / f"store{next(numbers)}")
        for record in [*records, *students(backend="jax")]:
            store.write(record)
        status = main(["gate", "--store", str(store.path), "--baselines", str(folder), *words])
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def change(folder, name, edit):
    """Edit a baselines file by hand."""
    fields = json.loads((folder / name).read_text())
    edit(fields)
    (folder / name).write_text(json.dumps(fields))


def test_what_is_recorded_passes(gate):
    assert gate(everything())[0] == 0


def test_deleted_files_and_entries_and_seeds_are_missing(gate, folder):
    kept = {path.name: path.read_text() for path in folder.iterdir()}

    def without_metrics(fields):
        for entry in fields["entries"]:
            entry["metrics"] = {}

    cases = {
        "a backend's": lambda: (folder / "distill-jax.json").unlink(),
        "all but one": lambda: [path.unlink() for path in folder.glob("*-*.json") if path.name != AGREEMENT],
        "all": lambda: [path.unlink() for path in folder.glob("*-*.json")],
        "entries": lambda: change(folder, AGREEMENT, lambda fields: fields["entries"].pop()),
        "metrics": lambda: change(folder, AGREEMENT, without_metrics),
        "all metrics": lambda: [change(folder, path.name, without_metrics) for path in folder.glob("*-*.json")],
        "a seed": lambda: change(folder, DISTILL, lambda fields: fields["entries"][0]["metrics"]["test/accuracy"].pop("3")),
    }
    for name, damage in cases.items():
        damage()
        status, text = gate(everything())
        assert status == 1 and "missing" in text and "the baselines hold" in text, (name, text)
        for file, content in kept.items():
            (folder / file).write_text(content)
    (folder / coverage.NAME).unlink()
    status, text = gate(everything())
    assert status == 2 and "coverage.json is not there" in text


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda f: f["entries"][0]["metrics"]["test/accuracy"].update({"3": math.inf}), "finite"),
        (lambda f: f["entries"][0]["metrics"]["test/accuracy"].update({"3": math.nan}), "finite"),
        (lambda f: f["entries"][0]["metrics"]["test/accuracy"].update({"3": 2.0}), "between 0 and 1"),
        (lambda f: f["entries"][0]["metrics"]["test/accuracy"].update({"3": 10**400}), "no baselines file"),
        (lambda f: f["entries"][0]["metrics"].update({"test/nll": {"3": 0.1}}), "test/nll"),
        (lambda f: f["margins"].update({"test/accuracy": 1.0}), "come from the code"),
        (lambda f: f.update(confidence=1.0), "come from the code"),
        (lambda f: f["entries"].append(f["entries"][0]), "twice"),
        (lambda f: f.update(backend="jax"), "says that it is of"),
    ],
)
def test_a_baselines_file_that_no_update_would_have_written_is_refused(folder, gate, edit, word):
    change(folder, DISTILL, edit)
    status, text = gate(everything())
    assert status == 2 and word in text and "Traceback" not in text and DISTILL in text


def test_no_baseline_allows_more_than_is_promised(folder, gate):
    def generous(fields):
        for entry in fields["entries"]:
            entry["metrics"] = dict.fromkeys(entry["metrics"], 1e9)

    change(folder, AGREEMENT, generous)
    status, text = gate([*everything(), agreement(gradient=2e-4)])
    assert status == 1 and "promised ≤ 1e-04" in text and text.partition("Not passed")[2].count("| regressed") == 1


def test_the_promises_are_those_of_the_suite():
    for dtype, promised in promises.PROMISED.items():
        regions = [region[dtype].always for region in bounds.REGIONS.values()]
        assert promised == tuple(max(bound[i] for bound in regions) for i in range(2))


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (agreement(value=-1.0), "value error is at least 0"),
        (distill("kd", 3, accuracy=2.0), "accuracy is between 0 and 1"),
        (distill("kd", 3, accuracy=-1.0), "accuracy is between 0 and 1"),
        (distill("kd", 3, accuracy=math.nan), "seed 3 lacks the metric"),
    ],
)
def test_a_figure_that_its_metric_cannot_have_fails(folder, record, word):
    planted = [r for r in everything() if r.key != record.key] + [record]
    failing = [v for v in judge.judge(planted, baselines.read_all(folder)) if v.backend == "torch" and v.fails]
    assert len(failing) == 1 and word in failing[0].reason, failing


def test_a_record_with_a_figure_too_large_for_a_float_counts_as_none(gate, tmp_path):
    """The store skips what a hand made of it, and what is not there fails."""
    record = distill("kd", 3)
    status, text = gate([r for r in everything() if r.key != record.key])
    assert status == 1 and "missing" in text
    path = tmp_path / "store0" / "records" / "distill" / f"{record.key}.json"
    path.write_text(record.to_json().replace(json.dumps(record.metrics["test/accuracy"]), str(10**400)))
    with pytest.warns(match="no float holds"):
        assert record.key not in {r.key for r in Store(tmp_path / "store0").records()}


def test_single_seeds_that_collapse_fail_also_where_the_mean_is_within_the_margin(folder):
    files = [file for file in baselines.read_all(folder) if (file.suite, file.backend) == ("distill", "torch")]

    def verdict(change):
        return next(v for v in judge.judge(students(change), files) if v.cell.startswith("kd"))

    two = verdict(lambda accuracy, seed: 0.0 if seed < 2 else accuracy)
    assert two.verdict == judge.COLLAPSED and "seed 0 is worse by 0.9650" in two.reason and "seed 1" in two.reason
    one = verdict(lambda accuracy, seed: accuracy - 0.12 if seed == 4 else accuracy)
    assert one.verdict == judge.COLLAPSED and "worse by +0.0120" in one.figure  # the mean is within the margin of 0.015
    wide = verdict(lambda accuracy, seed: accuracy - (0.085 if seed % 4 == 0 else 0.0))
    assert (
        wide.verdict == judge.REGRESSED and "worse by +0.0255 (between +0.00" in wide.figure
    )  # not surely more than the margin
    assert verdict(lambda accuracy, seed: accuracy - (0.06 if seed == 4 else 0)).verdict == judge.AMBIGUOUS


def test_what_compared_too_little_is_no_pass(gate):
    assert gate(everything(), "--seeds", "10")[0] == 0
    status, text = gate(everything(), "--seeds", "1")
    assert status == 1 and "too few" in text
    halved = [*students(lambda accuracy, _: accuracy / 2), *students(method="abkd"), *everything()[-2:]]
    assert gate(halved, "--other-seeds", "0:1")[0] == 1
    noisy = [*students(lambda accuracy, seed: accuracy - 0.02 * (seed == 1)), *everything()[10:]]
    status, text = gate(noisy, "--seeds", "2")
    assert status == 1 and "10 seeds are recorded" in text
    assert gate(noisy)[0] == 0
    assert judge.fails([]) and gate([], "--backend", "torch")[0] == 1
    assert gate(everything(), "--time")[0] == 1


@pytest.mark.parametrize(
    "words",
    ["--seeds=--", "--seeds=-3", "--seeds=0", "--seeds=x", "--seeds=" + "9" * 5000, "--other-seeds=5:5", "--other-seeds=²:5",
     "--other-seeds=0:999999999", "--junit=--", "--markdown=--", "--where=--", "--backend=--", "--reason=--",
     "--other-seeds=--", "--baselines=--"],
)  # fmt: skip
def test_wrong_words_are_one_sentence(gate, capsys, words):
    try:
        status, text = gate(everything(), words)
    except SystemExit as stopped:
        status, text = stopped.code, capsys.readouterr().err
    assert status == 2 and "Traceback" not in text and len(text.splitlines()[-1]) < 400


def test_small_losses_recorded_again_and_again_are_held_against_the_first(folder, gate):
    def lower(times):
        return students(lambda accuracy, _: accuracy - 0.01 * times)

    told = update(lower(1), "a small loss, within the margin", folder=folder)
    assert any("worse by +0.01" in line and "first 0.96" in line for line in told)
    with pytest.raises(BaselineError, match="recorded first"):
        update(lower(2), "another small loss, within the margin", folder=folder)
    others = everything()[10:]
    assert gate([*lower(1), *others])[0] == 0
    status, text = gate([*lower(2), *others])
    assert status == 1 and "worse by +0.0200 than the figures that were recorded first" in text
    update(lower(2), "the loss is accepted: a cheaper network", folder=folder, accept_regression=True)
    assert gate([*lower(2), *others])[0] == 0 and gate([*lower(4), *others])[0] == 1
    assert "accepted" in json.loads((folder / DISTILL).read_text())["history"][-1]


def test_errors_drift_no_further_than_the_first_one_allows(folder):
    update([agreement(value=4e-7)], "four times as much, within the bound", folder=folder)
    with pytest.raises(BaselineError, match=r"first 1\.00e-07"):
        update([agreement(value=1.2e-6)], "and once more within the bound", folder=folder)


def test_an_update_refuses_a_regression_without_another_word(folder, gate):
    before = {path.name: path.read_text() for path in folder.iterdir()}
    halved = students(lambda accuracy, _: accuracy / 2)
    status, text = gate([*halved, *everything()[10:]], "--update", "--reason", "the newest figures")
    assert status == 2 and "--accept-regression" in text and "worse by +0.4" in text
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    for figures in ({"gradient": 2e-4}, {"value": -1.0}):
        with pytest.raises(BaselineError, match="promises|at least 0"):
            update([agreement(**figures)], "beyond what is promised", folder=folder, accept_regression=True)
    status, text = gate([*halved, *everything()[10:]], "--update", "--reason", "a smaller student", "--accept-regression")
    assert status == 0 and "0.9695 → 0.4848 (worse by +0.48" in text


def test_only_replacing_takes_something_off_the_list_of_what_is_covered(folder):
    assert len(coverage.read(folder)) == 5
    (folder / AGREEMENT).unlink()
    update([agreement()], "one of the two cells alone", folder=folder)
    assert len(coverage.lacking(coverage.read(folder), baselines.read_all(folder))) == 2
    update([agreement()], "the other cell is no longer run", folder=folder, replace=True)
    assert len(coverage.read(folder)) == 4 and not coverage.lacking(coverage.read(folder), baselines.read_all(folder))


def test_the_committed_list_covers_every_backend_and_all_that_is_recorded():
    rows, files = coverage.read(), baselines.read_all()
    assert {(row.suite, row.backend) for row in rows} == {
        (suite, backend) for suite in ("agreement", "distill") for backend in ("torch", "jax", "tensorflow")
    }
    assert len(rows) == 3 * (15 * 4 + 5) and not coverage.lacking(rows, files)
    assert coverage.to_json(rows) == coverage.to_json(coverage.of(files))


UGLY = "\x1b[31mred\x00 \ud800 \u202e <script>|`x`[y](z)\nnext"


def test_ugly_messages_leave_junit_markdown_and_terminal_whole(folder, tmp_path):
    planted = [r for r in everything() if r.suite == "distill"] + [agreement(status="failed", message=UGLY)]
    found = judge.judge(planted, baselines.read_all(folder))
    markdown, junit = verdicts.to_markdown(found, UGLY), verdicts.to_junit(found)
    assert r"\x1b[31mred\x00" in ElementTree.fromstring(junit).find(".//failure").get("message")
    assert verdicts.write_files(markdown, junit, str(tmp_path / "a.md"), str(tmp_path / "a.xml")) == []
    assert ElementTree.parse(tmp_path / "a.xml").getroot().tag == "testsuites"
    assert all(letter.isprintable() or letter == "\n" for letter in markdown)
    assert "<script" not in markdown and "](" not in markdown
    rows = [line for line in markdown.splitlines() if "red" in line and line.startswith("|")]
    assert rows and all(row.count("|") == 8 for row in rows)


def test_files_that_cannot_be_written_leave_verdict_and_status(gate, tmp_path, monkeypatch):
    words = ["--junit", str(tmp_path / "none" / "j.xml"), "--markdown", str(tmp_path)]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    worse = [agreement(gradient=1e-5) if r.key == agreement().key else r for r in everything()]
    for records, status, heading in ((everything(), 0, "Gate: passed"), (worse, 1, "Gate: FAILED")):
        found, text = gate(records, *words)
        assert found == status and heading in text and text.count("cannot be written") == 3 and "Traceback" not in text


def test_a_clock_that_runs_ahead_hides_no_run(gate):
    hiding = dataclasses.replace(agreement(gradient=1e-7), key="hiding", finished="2099-01-01T00:00:00+00:00")
    worse = [r for r in everything() if r.key != agreement().key] + [agreement(gradient=1e-5), hiding]
    status, text = gate(worse)
    assert status == 1 and "agreement/hiding" in text and "2099" in text
