"""The same cells in several frameworks: tables of final figures and of step losses, the figure, and what MLflow gets."""

import math
import statistics

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from mlflow_server import runs_of
from results_examples import distill

from results import Store, selection
from results.figures import frameworks as framework_figure
from results.records import step_losses
from results.records.record import Record, newest
from results.significance import differences
from results.tables import framework_steps, frameworks, methods, precisions
from results.tracking import send

GIVEN = {"teacher_weights": "teacher.safetensors 0123456789abcdef"}


def losses(seed, difference=0.0, steps=200):
    """A falling curve of one seed; `difference` grows by the step as rounding does."""
    noise = np.random.default_rng(seed).normal(size=steps)
    curve = (2.3 * np.exp(-np.arange(steps) / 60) + 0.05) * (1 + 0.05 * noise)
    return curve * (1 + difference * np.exp(np.arange(steps) / 20))


def student(backend, seed, accuracy, *, method="kd", repeat=0, difference=0.0, shared=True, **fields):
    cell = (GIVEN if shared else {}) | ({"repeat": repeat} if repeat else {}) | fields.pop("cell", {})
    key = fields.pop("key", f"{method}-{backend}-{seed}-{repeat}-{shared}")
    details = {"step_losses": step_losses.keep(losses(seed, difference))}
    return distill(method, seed, backend, accuracy, f"of-{backend}", cell=cell, key=key, details=details, **fields)


def both(shift, *, scatter=0.001, seeds=8, backend="jax", **fields):
    """Students of two frameworks: the second worse by `shift`, and by another little for each seed."""
    draws = np.random.default_rng(7)
    base = 0.95 + 0.01 * draws.normal(size=seeds)
    other = base - shift + scatter * draws.normal(size=seeds)
    return [student("torch", s, base[s], **fields) for s in range(seeds)] + [
        student(backend, s, other[s], difference=1e-7, **fields) for s in range(seeds)
    ]


def row(records, metric="test/accuracy", section=0):
    data = frameworks.tables(records)[section].data
    return data[data["metric"] == metric].iloc[0]


def test_kept_steps_are_the_same_for_the_same_length_and_reach_the_end():
    assert step_losses.kept_steps(280).tolist() == list(range(1, 281))
    steps = step_losses.kept_steps(187_200)
    assert len(steps) == step_losses.MOST and steps[-1] == 187_200 and (np.diff(steps) > 0).all()
    assert steps[: step_losses.FIRST].tolist() == list(range(1, step_losses.FIRST + 1))
    for count in (599, 600, 601, 650, 1170):
        assert (np.diff(step_losses.kept_steps(count)) > 0).all() and step_losses.kept_steps(count)[-1] == count


def test_losses_of_float32_come_back_as_they_were_and_take_few_digits():
    computed = np.float32(np.random.default_rng(0).normal(size=1000)).astype(np.float64)
    found = distill(details={"step_losses": step_losses.keep(computed)})
    steps, kept = step_losses.read(Record.from_json(found.to_json()).details)
    assert np.array_equal(np.float32(kept), np.float32(computed[steps - 1]))
    assert max(len(repr(abs(loss))) for loss in kept.tolist()) <= 14  # 1.2345678e-05
    double = np.random.default_rng(0).normal(size=20)
    assert np.array_equal(step_losses.read({"step_losses": step_losses.keep(double)})[1], double)


def test_a_loss_that_is_not_finite_survives_the_record_and_counts_as_far_apart():
    record = distill(details={"step_losses": step_losses.keep([1.0, 0.5, math.nan])})
    found = step_losses.read(Record.from_json(record.to_json()).details)
    assert found[1].tolist()[:2] == [1.0, 0.5] and math.isnan(found[1][2])
    steps, apart = step_losses.relative_difference(found, (np.arange(1, 4), np.array([1.0, 0.4, 0.2])))
    assert steps.tolist() == [1, 2, 3] and apart.tolist() == pytest.approx([0, 0.2, math.inf])
    assert step_losses.read({}) is None and step_losses.read({"step_losses": {"losses": []}}) is None


def test_a_difference_inside_the_spread_over_seeds_is_called_so():
    found = row(both(0.0))
    assert found["verdict"] == "within the spread" and found["seeds"] == 8
    assert found["low"] < 0 < found["high"]
    assert found["over_seeds_first"] == pytest.approx(statistics.stdev(r.metrics["test/accuracy"] for r in both(0.0)[:8]))


def test_a_framework_that_is_worse_by_more_than_the_spread_differs():
    found = row(both(0.05))
    assert found["verdict"] == "differs" and found["difference"] == pytest.approx(0.05, abs=0.002)
    assert found["p_holm"] >= found["p"]


def test_a_sure_but_small_difference_is_called_both():
    assert row(both(0.003, scatter=0.0005))["verdict"] == "differs, by less than the spread"


def test_too_few_seeds_leave_it_open():
    assert row(both(0.0, seeds=1))["verdict"] == "open: one seed"
    assert row(both(0.001, scatter=0.02, seeds=3))["verdict"].startswith("open: 3 seeds")


def test_the_verdict_rarely_sees_a_difference_where_there_is_none():
    """Frameworks that differ in nothing but noise: called different in about 5 % of the tables, not more."""
    draws, called = np.random.default_rng(3), 0
    for _ in range(200):
        base, noise = 0.01 * draws.normal(size=5), 0.01 * draws.normal(size=(2, 5))
        sides = [
            frameworks.Side(name, {s: [distill("kd", s, name, 0.9 + base[s] + noise[side, s])] for s in range(5)})
            for side, name in enumerate(("torch", "jax"))
        ]
        cell = frameworks.Compared("section", "kd", "shared", tuple(sides))
        difference = differences.difference(*(side.by_seed("test/accuracy") for side in sides))
        called += frameworks._Row(cell, "test/accuracy", *sides, difference, difference.p).verdict.startswith("**differs")
    assert called <= 20  # 10 expected; more than 20 happens once in a thousand times


def test_repeats_give_the_spread_of_one_seed_and_are_no_seeds_of_their_own():
    records = both(0.0) + [student("torch", s, 0.95 + 0.004 * (-1) ** s, repeat=1) for s in range(2)]
    found = row(records)
    first = [r.metrics["test/accuracy"] for r in records[:2]]
    variances = [(a - (0.95 + 0.004 * (-1) ** s)) ** 2 / 2 for s, a in enumerate(first)]
    assert found["of_one_seed_first"] == pytest.approx(math.sqrt(sum(variances) / 2))
    assert math.isnan(found["of_one_seed_second"]) and found["seeds"] == 8
    (by_method, *_) = methods.methods(newest(records))
    assert by_method.data["seeds"].tolist() == [8, 8] and len(by_method.data) == 2


def test_differences_between_seeds_of_diverged_runs_are_left_out():
    records = both(0.0)
    records[2].status = "diverged"
    assert row(records)["seeds"] == 7


def test_the_teacher_is_named_and_the_note_says_what_it_means():
    (own,) = frameworks.tables(both(0.0, shared=False))
    assert "learnt from a teacher that it trained itself" in own.note and set(own.data["teacher"]) == {"own"}
    (shared,) = frameworks.tables(both(0.0))
    assert "trained itself" not in shared.note and set(shared.data["teacher"]) == {"shared"}
    assert set(frameworks.tables(both(0.0, method="sft", shared=False))[0].data["teacher"]) == {"none"}


def test_two_seeds_that_happen_to_differ_by_the_same_prove_nothing():
    """Accuracies are whole numbers of images: equal differences come by chance."""
    records = [student(name, seed, 0.95 + shift) for name, shift in (("torch", 0.0), ("jax", -0.02)) for seed in range(2)]
    found = row(records)
    assert found["p"] == pytest.approx(0.5) and "differs" not in found["verdict"]


def test_students_in_mixed_precision_are_compared_seed_by_seed():
    records = both(0.0, seeds=4) + [
        student("torch", seed, record.metrics["test/accuracy"] - 0.01, cell={"precision": "bfloat16"}, key=f"narrow-{seed}")
        for seed, record in enumerate(both(0.0, seeds=4)[:3])
    ]
    (line,) = precisions.table(records).data.to_dict("records")
    assert line["difference"] == pytest.approx(-0.01) and (line["seeds"], line["worse"]) == (3, 3)
    assert (line["backend"], line["precision"], line["step_ms"]) == ("torch", "bfloat16", 4.5)
    assert precisions.table(both(0.0)) is None


def test_what_a_cell_does_not_name_can_be_selected_too():
    records = [
        student("torch", 0, 0.9),
        student("torch", 0, 0.9, repeat=1),
        student("torch", 1, 0.9, cell={"precision": "bfloat16"}),
    ]
    for where, seeds in (({"precision": {"float32"}}, [0, 0]), ({"precision!": {"float32"}}, [1]), ({"repeat": {"0"}}, [0, 1])):
        assert [record.cell["seed"] for record in selection.select(records, where)] == seeds


def test_one_framework_alone_gives_no_table():
    records = [student("torch", seed, 0.95) for seed in range(3)]
    assert frameworks.tables(records) == [] == framework_steps.tables(records)
    assert framework_figure.figures(records) == {}


def test_precisions_are_sections_of_their_own():
    records = both(0.0) + both(0.02, cell={"precision": "bfloat16"})
    titles = [table.title for table in frameworks.tables(records)]
    assert len(titles) == 2 and titles[1].endswith("float32, mixed bfloat16, teacher 012345")
    assert len(methods.methods(records)) == 2


def test_step_losses_are_compared_between_frameworks_and_with_the_framework_itself():
    records = both(0.0, seeds=3) + [student("torch", s, 0.95, repeat=1, difference=1e-6) for s in range(3)]
    (table,) = framework_steps.tables(records)
    data = table.data.set_index("runs")
    assert set(data.index) == {"torch / jax", "torch / itself"}
    assert data.loc["torch / jax", "largest_to_1"] == pytest.approx(1e-7, rel=0.02)
    assert data.loc["torch / jax", "largest"] == pytest.approx(1e-7 * math.exp(199 / 20), rel=0.02)
    assert data.loc["torch / itself", "largest_to_10"] == pytest.approx(1e-6 * math.exp(9 / 20), rel=0.02)
    # 1e-6·exp(s/20) passes 1 % at s = 20·ln(1e4), counted from 1
    assert data.loc["torch / itself", "parted"] == math.ceil(20 * math.log(1e4)) + 1
    assert math.isinf(data.loc["torch / jax", "parted"]) and "never" in table.to_markdown()


def test_old_records_without_step_losses_still_compare_their_final_figures():
    records = both(0.0)
    for record in records:
        record.details.clear()
    assert len(frameworks.tables(records)) == 1 and framework_steps.tables(records) == []
    assert len(framework_figure.figures(records)) == 1


def test_the_figure_shows_losses_differences_and_seeds():
    records = both(0.0, seeds=3) + [student("torch", 0, 0.95, repeat=1, difference=1e-6)]
    ((name, figure),) = framework_figure.figures(records).items()
    assert name.startswith("frameworks-digits-teacher")
    losses_panel, apart, final = figure.axes
    assert [line.get_label() for line in losses_panel.lines] == ["torch", "jax"]
    labels = {line.get_label() for line in apart.lines}
    assert {"torch / jax", "torch / itself"} <= labels and apart.get_yscale() == "log"
    assert [len(points.get_offsets()) for points in final.collections] == [3, 1, 3, 0]


def test_mlflow_has_the_comparison_in_the_run_of_every_command_that_took_part(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store, records = Store(tmp_path), both(0.0, seeds=2)

    def parents():
        client = MlflowClient(send.tracking_uri(store))
        runs = [run for run in runs_of(client, "abkd-distill") if "abkd.key" not in run.data.tags]
        return {
            run.data.params["backend"]: [
                [artifact.path for artifact in client.list_artifacts(run.info.run_id, folder)]
                for folder in ("figures", "tables")
            ]
            for run in runs
        }

    for record in records[:2]:
        store.write(record)
    assert send.send(records[:2], store).problem == ""
    assert not any("frameworks" in path for paths in parents()["torch"] for path in paths)
    for record in records[2:]:
        store.write(record)
    for _ in range(2):  # the second time changes nothing
        assert send.sync(store).problem == ""
        found = parents()
        assert set(found) == {"torch", "jax"}
        for figures, tables in found.values():
            assert sum("figures/frameworks-" in path for path in figures) == 1 and "tables/frameworks.md" in tables
