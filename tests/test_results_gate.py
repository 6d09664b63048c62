"""The gate: what it lets pass, what it catches, and how often it is wrong."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from results_examples import agreement, distill, diverged, loss, trace

from results import Record, Store
from results.__main__ import main
from results.gate import baselines, judge, present, promises, simulation
from results.gate.baselines import Baseline, Entry
from results.gate.update import update
from results.significance import noninferiority

ACCURACIES = (0.965, 0.972, 0.969, 0.974, 0.966, 0.971, 0.968, 0.973, 0.970, 0.967)


@pytest.fixture(autouse=True)
def all_of_todays_code(monkeypatch):
    """The records of these tests are made up, and count as those of today's code; tests/test_results_gate_code.py asks."""
    monkeypatch.setattr(present, "asked_of_suites", lambda records: [{"key": record.key, "code": {}} for record in records])


def students(drop=0.0, noise=0.0, method="abkd", backend="torch", seed=0):
    generator = np.random.RandomState(seed)
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
    update(records, "the first recorded run", "abc", path)
    return path


def everything():
    return [*students(), *students(method="kd"), agreement(), agreement("float64", value=1e-15, gradient=1e-14)]


def verdicts(records, folder):
    return judge.judge(records, baselines.read_all(folder))


def failing(records, folder):
    return [v for v in verdicts(records, folder) if v.fails]


def test_the_recorded_figures_pass(folder):
    assert [v.verdict for v in verdicts(everything(), folder)] == ["pass"] * 6


def test_an_error_beyond_its_bound_is_named(folder):
    planted = [r if r.suite != "agreement" or r.cell["dtype"] != "float32" else agreement(gradient=1e-4) for r in everything()]
    (found,) = failing(planted, folder)
    assert found.verdict == "regressed" and found.metric == "agreement/gradient_error" and "float32" in found.cell
    assert found.figure == "1.00e-04" and found.bound == "≤ 8.00e-07"


def test_the_bound_is_four_times_the_recorded_error_or_a_few_eps():
    assert judge.error_bound(1e-6, "agreement/value_error", "float32") == 4e-6
    assert judge.error_bound(0.0, "agreement/value_error", "float64") == 4 * 2.0**-52
    assert judge.error_bound(0.0, "agreement/gradient_error", "bfloat16") == 4 * 2.0**-7
    # The value of half-type logits is computed and returned in float32.
    assert judge.error_bound(0.0, "agreement/value_error", "bfloat16") == 4 * 2.0**-23


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_error_that_is_no_number_fails(folder, error):
    planted = [r for r in everything() if r.cell["dtype"] != "float64"] + [agreement("float64", value=error, gradient=1e-14)]
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
    verdict, reason, figure = noninferiority.decide(noninferiority.paired([0.03, -0.02, 0.01]), 0.01, 0.99)
    assert verdict == "ambiguous" and "would do" in reason and "3 seeds" in figure
    needed = int(noninferiority.seeds_needed(0.0, 0.01, 0.01, 0.99))
    assert 5 < needed < 15
    assert noninferiority.seeds_needed(0.01, 0.01, 0.01, 0.99) == "more than 1000"
    assert noninferiority.decide(noninferiority.paired([0.5]), 0.01, 0.99)[0] == "ambiguous"


def test_so_many_seeds_as_it_says_would_do():
    """Losses of the stated mean and deviation are decided with the stated number of seeds, and not with one fewer."""
    needed = int(noninferiority.seeds_needed(0.0, 0.02, 0.01, 0.95))

    def verdict(count):
        unit = np.linspace(-1, 1, count)
        losses = list(0.02 * (unit - unit.mean()) / unit.std(ddof=1))
        return noninferiority.decide(noninferiority.paired(losses), 0.01, 0.95)[0]

    assert verdict(needed) == "pass" and verdict(needed - 1) == "ambiguous"


def test_unpaired_means_agree_with_welch():
    from scipy import stats

    recorded, new = [0.95, 0.96, 0.97, 0.955], [0.93, 0.95, 0.94]
    loss = noninferiority.unpaired(recorded, new, 1.0)
    peer = stats.ttest_ind(recorded, new, equal_var=False)
    assert loss.mean / loss.error == pytest.approx(peer.statistic) and loss.freedom == pytest.approx(peer.df)
    assert noninferiority.unpaired(recorded, new, -1.0).mean == -loss.mean


def test_the_simulation_decides_as_the_gate_does():
    losses = 0.03 * np.random.RandomState(0).standard_t(3, (300, 10)) / 3**0.5
    margin, limit = 0.015, promises.collapse(ACCURACIES, 0.015)
    passed, failed = simulation.verdicts(losses, margin, 0.95, limit)
    recorded = Baseline("distill", "torch", [Entry({}, {"test/accuracy": {str(n): a for n, a in enumerate(ACCURACIES)}})])
    kinds = set()
    for row, *expected in zip(losses, passed, failed, strict=True):
        records = [
            distill("kd", n, accuracy=a - loss, cell={}) for n, (a, loss) in enumerate(zip(ACCURACIES, row, strict=True))
        ]
        recorded.entries[0].cell = {n: v for n, v in records[0].cell.items() if n != "seed"}
        (verdict,) = judge.judge(records, [recorded])
        possible = all(record.metrics["test/accuracy"] <= 1 for record in records)
        assert not possible or [verdict.verdict == "pass", verdict.fails] == expected, (verdict, row)
        kinds |= {verdict.verdict} if possible else set()
    assert kinds == {"pass", "regressed", "collapsed", "ambiguous"}


def test_at_a_drop_of_the_margin_itself_every_second_gate_fails_and_surely_few_pass():
    found = simulation.rates(10, 0.01, 0.01, 0.95, draws=20_000)
    assert found.false_alarms < 0.001
    noise = 0.01 * np.random.RandomState(0).randn(20_000, 10)
    passed, failed = simulation.verdicts(noise + 0.01, 0.01, 0.95)
    assert passed.mean() == pytest.approx(0.05, abs=0.006) and failed.mean() == pytest.approx(0.5, abs=0.02)


def test_the_committed_baselines_raise_few_false_alarms_and_find_drops_of_two_margins():
    """At most 1 % false alarms of a whole gate, at least 90 % power in every cell, with the noise between backends."""
    files = [file for file in baselines.read_all() if file.by_seed]
    if len(files) < 2:
        pytest.skip("no distill baselines of two backends to take the noise from")
    frame = simulation.table(files, draws=4000).frame
    share = frame.loc[:, "false alarms":].map(lambda text: float(text[:-1]) / 100)
    assert 1 - (1 - share["false alarms"]).prod() <= 0.01
    assert 1 - (1 - share["heavy tails, false alarms"]).prod() <= 0.02
    assert share[["power", "heavy tails", "seed fallen"]].min().min() >= 0.9


def test_without_two_backends_nothing_says_how_large_the_noise_is(folder, capsys):
    assert main(["gate", "--simulate", "--baselines", str(folder)]) == 2
    assert "two backends" in capsys.readouterr().err
    moved = students(noise=0.004, seed=1, backend="jax")
    update(moved, "a second backend of the students", folder=folder)
    assert main(["gate", "--simulate", "--baselines", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "abkd" in printed and "Power: a drop of 2 margins" in printed


def test_the_one_teacher_is_judged_by_the_margin_alone(tmp_path):
    def teacher(accuracy):
        return distill("sft", 0, accuracy=accuracy, cell={"method": "teacher", "pair": "digits-teacher"})

    update([teacher(0.98)], "a teacher only", folder=tmp_path)
    assert [verdicts([teacher(a)], tmp_path)[0].verdict for a in (0.98, 0.966, 0.964)] == ["pass", "pass", "regressed"]


def test_new_cells_are_told_and_do_not_fail(folder):
    found = verdicts([*everything(), agreement(classes=100)], folder)
    assert [v.verdict for v in found].count("new") == 1 and not judge.fails(found)


def test_an_update_keeps_history_and_entries_without_a_record(folder):
    update([agreement(value=2e-7)], "a better kernel, other rounding", "def", folder)
    stored = json.loads((folder / "agreement-torch.json").read_text())
    assert [entry["reason"] for entry in stored["history"]] == ["the first recorded run", "a better kernel, other rounding"]
    assert stored["history"][1]["commit"] == "def" and len(stored["entries"]) == 2
    update([agreement(value=2e-7)], "one cell is left", "def", folder, replace=True)
    assert len(baselines.read(folder / "agreement-torch.json").entries) == 1


def test_no_baseline_is_made_of_what_failed_or_without_a_reason(folder):
    before = (folder / "distill-torch.json").read_text()
    with pytest.raises(baselines.BaselineError, match="diverged"):
        update([*students(), diverged()], "an update with a reason", folder=folder)
    with pytest.raises(baselines.BaselineError, match="--reason"):
        update(students(drop=0.5), " . ", folder=folder)
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


def test_what_a_backend_has_not_run_is_missing_and_how_to_leave_it_out_is_said(tmp_path, folder, capsys):
    update(students(backend="jax"), "jax as well", folder=folder)
    store = Store(tmp_path / "store")
    write(store, everything())
    words = ["gate", "--store", str(store.path), "--baselines", str(folder)]
    assert main(words) == 1 and "No records of jax: `--backend torch` leaves them out." in capsys.readouterr().out
    assert main([*words, "--where", "scal=smoke"]) == 2
    assert "None of the baselines" in (said := capsys.readouterr().err) and "scal=smoke" in said
    assert main([*words, "--reason", "why"]) == 2 and "go with --update" in capsys.readouterr().err


def test_one_backend_at_a_time_and_fewer_seeds_on_request(tmp_path, folder, capsys):
    update(students(backend="jax"), "jax as well, of course", folder=folder)
    store = Store(tmp_path / "store")
    write(store, [r for r in everything() if r.cell.get("seed", 0) < 5])
    words = ["gate", "--store", str(store.path), "--baselines", str(folder)]
    assert main([*words, "--backend", "torch", "--seeds", "5"]) == 0
    assert main([*words, "--backend", "torch"]) == 1
    assert main([*words, "--seeds", "5"]) == 1 and "missing" in capsys.readouterr().out
    assert main([*words, "--backend", "tensorflow"]) == 2 and "--update --reason" in capsys.readouterr().err


@pytest.fixture(params=["torch", "jax", "tensorflow"])
def committed(request):
    """Records that repeat the committed baselines of one backend."""
    found = []
    for file in baselines.read_all():
        if file.backend != request.param:
            continue
        for number, entry in enumerate(file.entries):
            seeds = list(next(iter(entry.metrics.values()))) if file.by_seed else [None]
            for seed in seeds:
                figures = {m: v[seed] if file.by_seed else v for m, v in entry.metrics.items()}
                cell = entry.cell if seed is None else entry.cell | {"seed": int(seed)}
                found.append(
                    Record(
                        suite=file.suite,
                        backend=file.backend,
                        key=f"{number}-{seed}",
                        invocation="first",
                        cell=cell,
                        status="ok",
                        metrics=figures,
                    )
                )
    if not found:
        pytest.skip(f"no committed baselines of {request.param}")
    return found


def gate_of(records, path, capsys):
    """Exit status of the gate on a store of these records, and what it printed of cells that did not pass."""
    store = Store(path)
    write(store, records)
    status = main(["gate", "--store", str(path), "--backend", records[0].backend, "--junit", str(path / "junit.xml")])
    return status, capsys.readouterr().out.partition("### Not passed")[2]


def test_planted_regressions_of_the_committed_baselines_are_caught_and_named(committed, tmp_path, capsys):
    assert gate_of(committed, tmp_path / "unchanged", capsys) == (0, "")

    def chosen(record):
        return record.cell.get("dtype") == "float32" and "agreement/gradient_error" in record.metrics

    def off(record):
        figures = dict(record.metrics)
        figures["agreement/gradient_error"] += 1e-4
        return dataclasses.replace(record, metrics=figures)

    def worse(record):
        return dataclasses.replace(record, metrics={"test/accuracy": record.metrics["test/accuracy"] - 0.03})

    def is_kd(record):
        return record.cell.get("method") == "kd"

    plants = {
        "gradient": ([off(r) if chosen(r) else r for r in committed], ("regressed", "gradient_error", "float32")),
        "worse": ([worse(r) if is_kd(r) else r for r in committed], ("regressed", "kd T4", "+0.0300", "0.015")),
        "left": ([r for r in committed if not is_kd(r)], ("missing", "kd T4", "was not run")),
        "seed": ([r for r in committed if not is_kd(r) or r.cell["seed"] != 2], ("missing", "kd", "seed 2 was not run")),
    }
    for name, (records, words) in plants.items():
        status, text = gate_of(records, tmp_path / name, capsys)
        assert status == 1 and all(word in text for word in words), (name, text)
        failures = [
            c for c in ElementTree.parse(tmp_path / name / "junit.xml").iter("testcase") if c.find("failure") is not None
        ]
        assert failures and all(words[1] in case.get("name") for case in failures)
        assert text.count("| regressed") + text.count("| missing") == len(failures)


def repeated(first, drop=0.0, threads="1", methods=("abkd", "kd"), count=10):
    """A run of other seeds of the students that are in the baselines."""
    return [
        dataclasses.replace(
            record, key=f"{method}-{seed}", cell=record.cell | {"seed": seed}, environment={"backend.threads": threads}
        )
        for method in methods
        for seed, record in zip(range(first, first + count), students(drop, method=method), strict=False)
    ]


def test_every_complete_run_of_other_seeds_is_gated_for_itself(tmp_path, folder, capsys):
    store = Store(tmp_path / "store")
    write(store, [*repeated(10), *repeated(20, threads="2"), *repeated(30, methods=("abkd",)), *repeated(40, count=4)])
    words = ["gate", "--store", str(store.path), "--baselines", str(folder), "--repeated"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "2 runs (2 of torch), 0 false alarms" in printed
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "| torch " in line]
    assert lines == [["torch", "10 to 19", "1", *"200000"], ["torch", "20 to 29", "2", *"200000"]]
    # what the baselines hold is compared seed with seed; a run that is worse is an alarm
    write(store, [*repeated(0), *repeated(50, drop=0.03, methods=("kd",)), *repeated(50, methods=("abkd",))])
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "4 runs (4 of torch), 1 false alarms" in printed and "0 to 9, paired" in printed
    row = next(line for line in printed.splitlines() if line.startswith("| kd "))
    assert [cell.strip() for cell in row.split("|")][3:7] == ["4", "+0.0075", "0.0150", "+0.0300"]


def test_without_a_complete_run_of_other_seeds_the_next_step_is_said(tmp_path, folder, capsys):
    store = Store(tmp_path / "store")
    write(store, repeated(10, count=4))
    assert main(["gate", "--store", str(store.path), "--baselines", str(folder), "--repeated"]) == 2
    assert "--seeds 10:20" in capsys.readouterr().err


def test_other_seeds_are_compared_by_their_means_on_request(tmp_path, folder, capsys):
    teacher = distill("sft", 0, accuracy=0.98, key="teacher", cell={"method": "teacher", "pair": "digits-teacher"})
    update([teacher], "the teacher, with one seed", folder=folder)
    shifted = [
        distill(r.cell["method"], 100 + r.cell["seed"], accuracy=r.metrics["test/accuracy"], key=f"{r.key}-x")
        for r in everything()
        if r.suite == "distill"
    ]
    store = Store(tmp_path / "store")
    write(store, [*shifted, teacher])
    words = ["gate", "--store", str(store.path), "--baselines", str(folder), "--where", "dataset=digits"]
    assert main(words) == 1 and "was not run" in capsys.readouterr().out
    assert main([*words, "--other-seeds", "100:110"]) == 0
    assert main([*words, "--other-seeds", "100:111"]) == 1 and "seed 110 was not run" in capsys.readouterr().out
    worse = [dataclasses.replace(r, metrics={"test/accuracy": r.metrics["test/accuracy"] - 0.05}) for r in shifted]
    write(store, worse)
    assert main([*words, "--other-seeds", "100:110"]) == 1 and "regressed" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, "--other-seeds", "10"])


def timed(milliseconds=40.0, spread=0.01, **fields):
    """A timing and its yardstick of 50 ms, with samples that spread so much relative to their median."""
    found = []
    for name, time in (("ours", milliseconds), ("framework_kl", 50.0)):
        samples = [time * (1 + spread * step) for step in (-1, -0.5, 0, 0.5, 1)]
        details, machine = {"samples_s": {"forward_backward": samples}}, {"cpu": "a processor", "cores_usable": 2}
        found.append(loss(name, milliseconds=time, details=details, **({"environment": machine} | fields)))
    return found


@pytest.mark.parametrize(
    ("records", "verdict", "why"),
    [
        (timed(), "pass", ""),
        (timed(59.0, spread=0.9), "pass", ""),
        (timed(70.0), "regressed", "recorded 0.8"),
        (timed(70.0, spread=0.5), "ambiguous", "noisy machine"),
        (timed(70.0, environment={"cpu": "another"}), "ambiguous", "another machine"),
        (timed(70.0)[:1], "missing", "not timed beside it"),
        (timed(status="failed", message="check"), "regressed", "check"),
        ([], "missing", "was not run"),
    ],
)
def test_times_are_judged_by_ratio_on_request_only(tmp_path, records, verdict, why):
    update(timed(), "times of a quiet machine", folder=tmp_path)
    (found,) = verdicts(records, tmp_path)
    assert found.verdict == verdict and why in found.reason and found.metric == "loss/times_own_kl"


def test_the_command_leaves_times_out_unless_asked(tmp_path, folder, capsys):
    store = Store(tmp_path / "store")
    write(store, [*everything(), *timed()])
    words = ["gate", "--store", str(store.path), "--baselines", str(folder)]
    update = [*words, "--update", "--reason", "figures of a quiet machine"]
    assert main(update) == 0 and not (folder / "loss-torch.json").exists()
    assert main([*update, "--time"]) == 0 and json.loads((folder / "loss-torch.json").read_text())["machine"]
    write(store, timed(90.0))
    assert main(words) == 0
    assert main([*words, "--time"]) == 1 and "1.80 × own KL" in capsys.readouterr().out


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
