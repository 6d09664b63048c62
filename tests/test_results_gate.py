"""The gate: what it lets pass, what it catches, and how often it is wrong."""

import json
import math
import xml.etree.ElementTree as ElementTree

import numpy
import pytest
from results_examples import agreement, distill, diverged, trace

from results import Store, baselines, gate
from results.__main__ import main

ACCURACIES = (0.965, 0.972, 0.969, 0.974, 0.966, 0.971, 0.968, 0.973, 0.970, 0.967)


def students(drop=0.0, noise=0.0, method="abkd", backend="torch", seed=0):
    generator = numpy.random.RandomState(seed)
    return [
        distill(method, number, backend, accuracy - drop + noise * generator.randn())
        for number, accuracy in enumerate(ACCURACIES)
    ]


@pytest.fixture
def folder(tmp_path):
    """Baselines of ten seeds of two methods and of two agreement cells."""
    path = tmp_path / "baselines"
    path.mkdir()
    records = [*students(), *students(method="kd"), agreement(), agreement("float64", value=1e-15, gradient=1e-14)]
    baselines.update(records, "the first recorded run", "abc", path)
    return path


def everything():
    return [*students(), *students(method="kd"), agreement(), agreement("float64", value=1e-15, gradient=1e-14)]


def verdicts(records, folder):
    return gate.judge(records, baselines.read_all(folder))


def failing(records, folder):
    return [v for v in verdicts(records, folder) if v.fails]


def test_the_recorded_figures_pass(folder):
    assert [v.verdict for v in verdicts(everything(), folder)] == ["pass"] * 6


def test_an_error_beyond_its_bound_is_named(folder):
    planted = [
        r if r.suite != "agreement" or r.cell["dtype"] != "float32" else agreement(gradient=1e-4) for r in everything()
    ]
    (found,) = failing(planted, folder)
    assert found.verdict == "regressed" and found.metric == "agreement/gradient_error" and "float32" in found.cell
    assert found.figure == "1.00e-04" and found.bound == "≤ 8.00e-07"


def test_the_bound_is_four_times_the_recorded_error_or_a_few_eps():
    assert gate.error_bound(1e-6, "agreement/value_error", "float32") == 4e-6
    assert gate.error_bound(0.0, "agreement/value_error", "float64") == 4 * 2.0**-52
    assert gate.error_bound(0.0, "agreement/gradient_error", "bfloat16") == 4 * 2.0**-7
    # The value of half-type logits is computed and returned in float32.
    assert gate.error_bound(0.0, "agreement/value_error", "bfloat16") == 4 * 2.0**-23


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_error_that_is_no_number_fails(folder, error):
    planted = [r for r in everything() if r.cell["dtype"] != "float64"] + [
        agreement("float64", value=error, gradient=1e-14)
    ]
    (found,) = failing(planted, folder)
    assert found.verdict == "regressed" and found.metric == "agreement/value_error"


def test_a_student_three_points_worse_is_caught(folder):
    planted = [r for r in everything() if r.cell.get("method") != "abkd"] + students(drop=0.03, noise=0.003)
    (found,) = failing(planted, folder)
    assert found.verdict == "regressed" and "abkd" in found.cell and "10 seeds" in found.figure


@pytest.mark.parametrize(
    "lost", [lambda r: r.cell.get("seed") == 3 and r.cell.get("method") == "kd", lambda r: r.suite == "agreement"]
)
def test_a_cell_left_out_is_missing(folder, lost):
    found = failing([r for r in everything() if not lost(r)], folder)
    assert found and {v.verdict for v in found} == {"missing"} and "was not run" in found[0].reason


def test_a_cell_that_did_not_end_ok_is_missing_with_its_status(folder):
    planted = [r for r in everything() if r.key != "distill-torch-kd-3"] + [diverged()]
    (found,) = failing(planted, folder)
    assert found.verdict == "missing" and "seed 3 diverged: the loss was not finite" in found.reason


def test_noise_too_large_to_say_is_ambiguous_and_does_not_fail():
    verdict, reason, figure = gate.non_inferiority([0.03, -0.02, 0.01], 0.01, 0.99)
    assert verdict == "ambiguous" and "would do" in reason and "3 seeds" in figure
    needed = int(gate.seeds_needed(0.0, 0.01, 0.01, 0.99))
    assert 5 < needed < 15
    assert gate.seeds_needed(0.01, 0.01, 0.01, 0.99) == "more than 1000"
    assert gate.non_inferiority([0.5], 0.01, 0.99)[0] == "ambiguous"


def test_false_alarms_are_rare_and_drops_of_two_margins_are_found():
    """10,000 simulated gates of ten seeds whose paired differences scatter by half a point."""
    generator, margin = numpy.random.RandomState(0), 0.01
    noise = 0.005 * generator.randn(10_000, 10)

    def rate(drop):
        return numpy.mean([gate.non_inferiority(list(row + drop), margin, 0.99)[0] == "regressed" for row in noise])

    assert rate(0.0) <= 0.001
    assert rate(margin) <= 0.013  # at the margin itself: 1 % by construction, with the simulation's own error
    assert rate(2 * margin) >= 0.9


def test_the_one_teacher_is_judged_by_the_margin_alone(tmp_path):
    def teacher(accuracy):
        return distill("sft", 0, accuracy=accuracy, cell={"method": "teacher", "pair": "digits-teacher"})

    baselines.update([teacher(0.98)], "a teacher only", folder=tmp_path)
    assert [verdicts([teacher(a)], tmp_path)[0].verdict for a in (0.98, 0.971, 0.969)] == ["pass", "pass", "regressed"]


def test_new_cells_are_told_and_do_not_fail(folder):
    found = verdicts([*everything(), agreement(classes=100)], folder)
    assert [v.verdict for v in found].count("new") == 1 and not gate.fails(found)


def test_an_update_keeps_history_and_entries_without_a_record(folder):
    baselines.update([agreement(value=5e-7)], "a better kernel, other rounding", "def", folder)
    stored = json.loads((folder / "agreement-torch.json").read_text())
    assert [entry["reason"] for entry in stored["history"]] == [
        "the first recorded run",
        "a better kernel, other rounding",
    ]
    assert stored["history"][1]["commit"] == "def" and len(stored["entries"]) == 2
    baselines.update([agreement(value=5e-7)], "one cell is left", "def", folder, replace=True)
    assert len(baselines.read(folder / "agreement-torch.json").entries) == 1


def test_no_baseline_is_made_of_what_failed_or_without_a_reason(folder):
    before = (folder / "distill-torch.json").read_text()
    with pytest.raises(baselines.BaselineError, match="diverged"):
        baselines.update([*students(), diverged()], "an update with a reason", folder=folder)
    with pytest.raises(baselines.BaselineError, match="--reason"):
        baselines.update(students(drop=0.5), " . ", folder=folder)
    assert (folder / "distill-torch.json").read_text() == before


def write(store, records):
    for record in records:
        store.write(record)


def test_the_command_exits_1_with_cell_figure_and_bound(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    store = Store(tmp_path / "store")
    words = ["gate", "--store", str(store.path), "--baselines", str(folder), "--junit", str(tmp_path / "junit.xml")]
    write(store, [*everything(), trace()])
    assert main(words) == 0 and "Gate: passed" in capsys.readouterr().out
    write(store, [agreement(gradient=1e-4)])
    assert main([*words, "--markdown", str(tmp_path / "gate.md")]) == 1
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("Gate: FAILED", "regressed", "1.00e-04", "≤ 8.00e-07", "ab_divergence"))
    assert (tmp_path / "gate.md").read_text() in printed
    assert (tmp_path / "summary.md").read_text().count("### Gate") == 2
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "junit.xml").getroot()}
    assert suites["agreement torch"].get("failures") == "1" and suites["distill torch"].get("failures") == "0"
    assert "1.00e-04" in suites["agreement torch"].find("testcase/failure").get("message")


def test_one_backend_at_a_time_and_fewer_seeds_on_request(tmp_path, folder, capsys):
    baselines.update(students(backend="jax"), "jax as well, of course", folder=folder)
    store = Store(tmp_path / "store")
    write(store, [r for r in everything() if r.cell.get("seed", 0) < 5])
    words = ["gate", "--store", str(store.path), "--baselines", str(folder)]
    assert main([*words, "--backend", "torch", "--seeds", "5"]) == 0
    assert main([*words, "--backend", "torch"]) == 1
    assert main([*words, "--seeds", "5"]) == 1 and "missing" in capsys.readouterr().out
    assert main([*words, "--backend", "tensorflow"]) == 2 and "--update --reason" in capsys.readouterr().err


def test_an_empty_store_fails_and_says_what_to_run(tmp_path, folder, capsys):
    assert main(["gate", "--store", str(tmp_path / "none"), "--baselines", str(folder)]) == 1
    told = capsys.readouterr()
    assert "nox -s torch" in told.err and "missing" in told.out


def test_the_committed_baselines_can_be_read():
    for file in baselines.read_all():
        assert file.entries and file.history[-1]["reason"]


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "agreement-torch.json").write_text("{")
    with pytest.raises(baselines.BaselineError, match=r"agreement-torch\.json"):
        baselines.read_all(tmp_path)
