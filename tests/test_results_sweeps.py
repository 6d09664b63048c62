"""What a search found: the best setting and how sure it is, the map over (α, β), and the sweep's run in MLflow."""

import math

import pytest
from mlflow.tracking import MlflowClient
from results_examples import distill, stamp

from results import Record, Status
from results.figures import heat_maps
from results.figures.of_invocation import OF_INVOCATION
from results.figures.parameter_curves import parameter_curves
from results.gate import baselines, judge
from results.gate.update import update
from results.records import sweep_notes
from results.records.store import Store
from results.significance import differences
from results.tables import every, methods, sweeps
from results.tracking import send
from suites.sweep.plan import values_in_words


def student(alpha, beta, seed, accuracy, **fields):
    cell = {"alpha": alpha, "beta": beta} | fields.pop("cell", {})
    key = fields.pop(
        "key", f"{alpha}-{beta}-{seed}-{sorted(cell.items())}".replace("'", "").translate(str.maketrans(" (),[]", "------"))[1:]
    )
    return distill("abkd", seed, accuracy=accuracy, cell=cell, key=f"k{key}", **fields)


def pruned(alpha, beta, seed=0):
    return student(
        alpha,
        beta,
        seed,
        0.5,
        status="pruned",
        message="stopped after 5 of 20 epochs",
        details={"pruned": {"sweep": "s", "epochs": 5}},
    )


# by (α, β): accuracies of four seeds
GRID = {
    (0.2, 0.2): (0.90, 0.92, 0.91, 0.93),
    (0.2, 0.8): (0.95, 0.96, 0.95, 0.97),
    (0.8, 0.2): (0.948, 0.962, 0.951, 0.966),
    (0.8, 0.8): (0.80, 0.82, 0.81, 0.82),
}


def grid():
    return [student(*point, seed, value) for point, values in GRID.items() for seed, value in enumerate(values)]


def test_the_best_setting_comes_with_its_uncertainty_and_its_equals():
    (found,) = sweeps.findings([*grid(), pruned(1, 1), student(1, 0.5, 0, 0.99)])
    assert [s.label for s in found.ranked] == [
        f"abkd α {a:g}, β {b:g}" for a, b in [(0.2, 0.8), (0.8, 0.2), (0.2, 0.2), (0.8, 0.8)]
    ]
    assert found.ranked[0].mean == pytest.approx(0.9575)
    assert [s.label for s in found.equals] == ["abkd α 0.8, β 0.2"]
    wanted = differences.difference(dict(enumerate(GRID[0.2, 0.8])), dict(enumerate(GRID[0.8, 0.2])))
    assert found.differences[0] == wanted
    assert found.p_values == differences.holm([d.p for d in found.differences])
    assert (found.left_out, found.stopped) == (2, 1)
    said = found.sentences()
    for words in (
        "0.9575 ± 0.0048",
        "4 seeds",
        "1 of the 3 others cannot be told",
        "0.0008 behind",
        "optimistic",
        "very test images",
        "Best of 4 settings over seeds 0 to 3",
        "not all seeds of these: 2 (stopped early: 1)",
    ):
        assert words in said, said
    table = found.table()
    assert list(table.frame["setting"]) == ["**abkd α 0.2, β 0.8**", "abkd α 0.8, β 0.2"]
    assert len(table.data) == 4 and table.data["p_holm"].iloc[3] < 0.05


def test_what_the_seeds_alone_chose_is_told():
    lucky = {0.1: (0.99, 0.80, 0.80), 0.2: (0.80, 0.99, 0.80), 0.3: (0.80, 0.80, 0.99), 0.4: (0.86, 0.86, 0.86)}
    (found,) = sweeps.findings([student(a, 0, seed, v) for a, values in lucky.items() for seed, v in enumerate(values)])
    assert found.ranked[0].mean == pytest.approx(0.8633, abs=1e-4) and found.elsewhere < 0.83
    assert f"{found.elsewhere:.4f}" in found.sentences()


def test_one_seed_says_nothing_and_a_comparison_is_no_search():
    (found,) = sweeps.findings([record for record in grid() if record.cell["seed"] == 0])
    assert math.isnan(found.elsewhere) and "One seed says nothing" in found.sentences()
    assert "nan" not in found.table().to_markdown()
    few = [record for record in grid() if record.cell["alpha"] == 0.2]
    assert sweeps.findings(few) == [] and len(sweeps.findings(few, least=2)) == 1
    assert sweeps.findings([pruned(a, 0) for a in range(5)]) == []
    titles = [table.title for table in every.tables(grid())]
    assert sum(title.startswith("Best setting") for title in titles) == 1
    assert not any(title.startswith("Best setting") for title in (t.title for t in every.tables(few)))


def test_parameters_that_were_searched_are_in_the_label():
    records = [
        student(a, 0.2, s, 0.9 + t / 100, cell={"temperature": t}) for a in (0.1, 0.2) for t in (1.0, 4.0) for s in range(2)
    ]
    (found,) = sweeps.findings(records)
    assert {s.label for s in found.ranked} == {f"abkd α {a}, T {t}" for a in (0.1, 0.2) for t in (1, 4)}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_map_shows_each_mean_marks_the_best_and_what_was_stopped():
    records = [*grid(), *(pruned(0.5, b) for b in (0.2, 0.8))]
    axes = heat_maps.alpha_beta(records).axes[0]
    shown = texts(axes)
    assert sum("★" in text for text in shown) == 1 and "★ 0.958\n±0.005" in shown
    assert "0.812\n±0.005" in shown and shown.count("stopped") == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.2", "0.5", "0.8"]
    image = axes.images[0]
    assert image.get_array()[1][0] == pytest.approx(0.9575) and image.get_array().mask[0][1]
    names = [name for name, _ in OF_INVOCATION["distill"]]
    assert "alpha_beta" in names


def test_failures_do_not_take_the_colours_of_the_others():
    records = [student(a / 5, b / 5, 0, 0.1 if a == b == 0 else 0.9 + (a + b) / 500) for a in range(5) for b in range(5)]
    limits = heat_maps.alpha_beta(records).axes[0].images[0].get_clim()
    assert 0.9 < limits[0] < 0.91 and limits[1] == pytest.approx(0.916)


def test_a_random_search_is_drawn_as_points_over_all_other_parameters():
    records = [student(0.1 * i, (0.37 * i) % 1, 0, 0.9 + i / 100, cell={"temperature": 1 + 0.1 * i}) for i in range(8)]
    figure = heat_maps.alpha_beta([*records, pruned(0.55, 0.5)])
    axes = figure.axes[0]
    assert "over all temperature" in axes.get_title() and not axes.images
    assert len(axes.collections[0].get_offsets()) == 8 and "0.970" in texts(axes)
    assert axes.get_legend() is not None


def test_no_plane_no_map():
    assert heat_maps.alpha_beta([student(0.1 * i, 0.2, 0, 0.9) for i in range(9)]) is None
    assert heat_maps.alpha_beta([pruned(a, b) for a in (0, 1) for b in (0, 1)]) is None
    assert heat_maps.alpha_beta([distill("kd")]) is None


def runs(store, invocation):
    client = MlflowClient(send.tracking_uri(store))
    experiment = client.get_experiment_by_name("abkd-distill")
    found = client.search_runs([experiment.experiment_id], f"tags.`abkd.invocation` = '{invocation}'")
    return client, {run.data.tags.get("abkd.key", ""): run for run in found}


def test_a_sweep_has_a_run_with_its_map_whoever_made_the_records(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store, records = Store(tmp_path), grid()
    for record in records:
        store.write(record)
    sweep_notes.write(store, "sweep-1", [r.key for r in records], {"alpha": values_in_words([0.2, 0.8])})
    for _ in range(2):
        assert not send.send(records, store, ["sweep-1"]).problem
    client, found = runs(store, "sweep-1")
    assert list(found) == [""]
    parent = found[""]
    assert parent.info.status == "FINISHED" and parent.data.params["alpha"] == "0.2, 0.8"
    assert parent.info.run_name.startswith("best abkd (0.2, 0.8)") and ", sweep torch" in parent.info.run_name
    figures = [file.path for file in client.list_artifacts(parent.info.run_id, "figures")]
    assert "figures/alpha_beta.png" in figures
    assert send.sync(store).sent == 0 and len(runs(store, "sweep-1")[1]) == 1


def test_a_cell_that_is_run_again_within_its_sweep_replaces_its_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = Store(tmp_path)
    failed = distill("abkd", 0, invocation="sweep-2", status="failed", message="broke", metrics={}, curves={})
    stopped = distill("kd", 1, invocation="sweep-2", status="pruned", message="stopped")
    for record in (failed, stopped):
        store.write(record)
    sweep_notes.write(store, "sweep-2", [failed.key, stopped.key], {})
    send.send([failed, stopped], store)
    again = distill("abkd", 0, invocation="sweep-2", finished=stamp(99))
    store.write(again)
    for _ in range(2):
        send.send([again, stopped], store)
    _, found = runs(store, "sweep-2")
    assert {key: run.info.status for key, run in found.items()} == {
        "": "FINISHED",
        again.key: "FINISHED",
        stopped.key: "KILLED",
    }
    assert found[again.key].data.metrics["test/accuracy"] == 0.97
    assert {n: v for n, v in found[""].data.tags.items() if n.startswith("cells.")} == {"cells.ok": "1", "cells.pruned": "1"}
    assert store.queued() == []


def test_a_pruned_cell_is_not_finished_and_nothing_that_failed(tmp_path):
    finished = [distill("abkd", seed, accuracy=0.96 + seed / 1000) for seed in range(5)]
    update(finished, "the first recorded run", "abc", tmp_path)
    cut = distill("abkd", 4, accuracy=0.2, status="pruned", message="stopped after 5 of 20 epochs")
    (verdict,) = (v for v in judge.judge([*finished[:4], cut], baselines.read_all(tmp_path)) if v.metric == "test/accuracy")
    assert verdict.verdict == "missing" and "pruned: stopped after 5 of 20 epochs" in verdict.reason
    (table,) = methods.methods([*finished[:4], cut])
    assert "0.9615 ± 0.0006, 1 pruned" in table.to_markdown()
    assert Record.from_json(cut.to_json()).status is Status.PRUNED


def test_one_parameter_is_drawn_as_a_curve():
    records = [
        student(0.8, 0.2, s, 0.9 + t / 100 - s / 1000, cell={"temperature": float(t)}) for t in range(1, 6) for s in range(3)
    ]
    stopped = student(0.8, 0.2, 0, 0.5, cell={"temperature": 9.0}, status="pruned")
    axes = parameter_curves([*records, stopped]).axes[0]
    assert axes.get_xlabel() == "temperature"
    curve = axes.containers[0].lines[0]
    assert list(curve.get_xdata()) == [1, 2, 3, 4, 5] and curve.get_ydata()[4] == pytest.approx(0.949)
    assert "stopped early" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert parameter_curves(grid()) is None and parameter_curves(records[:9]) is None
