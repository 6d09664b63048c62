"""The table of metrics: one row says everything that tables, lines, figures, the gate and MLflow know of a metric."""

import json

import pytest
from results_examples import agreement, distill, loss

from results import metrics
from results.figures.methods import methods as methods_figure
from results.gate import baselines, judge
from results.gate.update import update
from results.metrics import METRICS, Metric
from results.tables import every
from results.tracking import views


@pytest.fixture
def my_metric(monkeypatch):
    """A metric that a plugin adds: less is better, and the gate tests it."""
    monkeypatch.setitem(METRICS, "test/my_metric", Metric("mine", "%", "lower", ".1f", margin=0.5, columns=("distill",)))


def students(figures: dict[str, float], name: str = "test/my_metric"):
    return [
        distill(method, seed, metrics={name: figure + seed / 100}) for method, figure in figures.items() for seed in range(4)
    ]


def of_title(tables, start):
    return next(table for table in tables if table.title.startswith(start))


def test_direction_title_and_unit_come_from_the_row_and_of_a_part_from_the_whole():
    assert metrics.find("test/accuracy").sign == 1.0 and metrics.find("test/nll").best([2, 1]) == 1
    assert metrics.find("test/best_accuracy").better == metrics.find("test/accuracy_blur_3").better == "higher"
    part = metrics.find("test/accuracy/vicuna")
    assert (part.title, part.better, part.margin, part.format) == ("accuracy vicuna", "higher", None, "")
    assert metrics.find("test/f1").better is None and metrics.find("test/f1").title == "f1"
    assert metrics.find("time/step_ms").heading == "step ms" and metrics.margins() == {"test/accuracy": 0.015}


def test_the_line_of_a_cell_says_its_main_figures():
    assert metrics.shown(distill(accuracy=0.97)) == ["accuracy 0.9700", "nll 0.030"]
    assert metrics.shown(agreement()) == ["value error 1.0e-07", "gradient error 2.0e-07"]
    times = ["forward 20 ms", "forward + backward 40 ms", "61 % of copy", "peak 350 MB"]
    assert metrics.shown(loss()) == times
    assert metrics.shown(distill(metrics={"test/f1": 0.51234, "test/ece": 0.1, "test/accuracy": 0.5})) == [
        "accuracy 0.5000",
        "f1 0.5123",
    ]


def test_a_metric_without_a_row_is_shown_but_nothing_is_called_the_best():
    records = students({"kd": 0.5, "abkd": 0.7}, "test/f1")
    table = of_title(every.tables(records, "test/f1"), "Methods")
    assert "**" not in table.to_markdown() and "better" not in table.note and len(table.frame) == 2
    assert "positive is larger" in of_title(every.tables(records, "test/f1"), "Against kd").note


def test_one_row_is_all_that_a_metric_of_a_plugin_needs(my_metric, tmp_path):
    records = students({"kd": 50.0, "abkd": 48.0})
    assert metrics.shown(records[0]) == ["mine 50.0 %"]
    assert "**48.0" in of_title(every.tables(records, "test/my_metric"), "Methods").to_markdown()
    against = of_title(every.tables(records, "test/my_metric"), "Against kd")
    assert against.data.set_index("method")["difference"]["abkd (0.8, 0.2)"] == pytest.approx(2.0)
    assert "metrics.`test/my_metric`" in json.loads(views.experiment_tags("distill")[views.TAG])["selectedColumns"]
    assert methods_figure(records, "test/my_metric") is not None
    update(records, "the first figures of this metric", folder=tmp_path)
    worse = students({"kd": 50.1, "abkd": 49.0})
    verdicts = {v.cell.split()[0]: v.verdict for v in judge.judge(worse, baselines.read_all(tmp_path))}
    assert verdicts == {"kd": "pass", "abkd": "regressed"}
