"""Figures of a whole command: how much of the bounds errors use up, and accuracy against time."""

import math

import numpy as np
import pytest
from results_examples import agreement, distill, stamp

from results.figures import accuracy_against_time, error_budget
from results.words import DTYPES


def measured(name="forward_kl", dtype="float32", backend="torch", excess=(0.2, 0.1), **fields):
    worst = [{"quantity": "gradient", "excess": value} for value in excess]
    cell = {"divergence": name, "dtype": dtype}
    return agreement(dtype, backend, cell=cell, details={"worst": worst}, key=f"{name}-{dtype}-{backend}", **fields)


def words_in(figure):
    """The texts of each panel's fields, row by row."""
    found = {}
    for axes in figure.axes:
        columns = len(axes.get_xticks())
        texts = [text.get_text() for text in axes.texts]
        found[axes.get_title()] = [texts[start : start + columns] for start in range(0, len(texts), columns)]
    return found


def test_the_budget_has_a_panel_a_backend_and_says_each_share_in_words():
    records = [
        measured(),
        measured(dtype="float64", excess=(0.004,)),
        measured("alphanet", excess=(3.14, 0.5), status="failed"),
        measured(backend="jax", excess=(0.00001,)),
        measured("alphanet", backend="jax", excess=(math.nan, 0.2)),
    ]
    figure = error_budget.error_budget(records)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["float64", "float32"]
    assert words_in(figure) == {"torch": [["0.4 %", "20 %"], ["", "3.1 ×"]], "jax": [["", "< 0.1 %"], ["", "≫"]]}
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    assert bold == ["3.1 ×"]


def test_of_two_records_of_a_cell_the_newest_counts_and_without_rows_there_is_no_budget():
    old = measured(excess=(0.9,), finished=stamp(0))
    new = measured(excess=(0.3,), finished=stamp(9))
    assert words_in(error_budget.error_budget([new, old])) == {"torch": [["30 %"]]}
    assert error_budget.error_budget([agreement()]) is None and error_budget.error_budget([]) is None


def test_sixty_cells_of_a_backend_stay_readable():
    names = [f"divergence_{number}" for number in range(15)]
    records = [measured(name, dtype) for name in names for dtype in DTYPES]
    figure = error_budget.error_budget(records)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 60
    for one, two in zip(boxes, boxes[1:], strict=False):
        assert not one.overlaps(two)
    field = figure.axes[0].transData.transform([(0, 0), (1, 1)])
    assert max(box.width for box in boxes) < abs(field[1] - field[0])[0]


def timed(total, seed=0, compiling=0.0, **fields):
    record = distill("abkd", seed, **fields)
    record.metrics |= {"time/total_s": total, "time/compile_s": compiling}
    return record


def test_epochs_share_the_time_after_compiling():
    assert accuracy_against_time.seconds(timed(7.0, compiling=1.0), "test/accuracy") == pytest.approx([3.0, 5.0, 7.0])
    assert accuracy_against_time.seconds(timed(7.0, compiling=math.nan), "test/accuracy") == pytest.approx(
        np.array([7, 14, 21]) / 3
    )
    assert accuracy_against_time.seconds(distill(), "test/accuracy") is None  # no time
    assert accuracy_against_time.seconds(timed(7.0), "test/ece") is None  # no curve


def test_accuracy_against_time_is_a_mean_over_seeds_at_the_median_time():
    records = [timed(seconds, seed, accuracy=0.9 + seed / 100) for seed, seconds in enumerate((3.0, 6.0, 90.0))]
    records.append(timed(1.0, 3, accuracy=0.1, status="diverged"))
    figure = accuracy_against_time.accuracy_against_time(records)
    line = figure.axes[0].lines[0]
    assert line.get_xdata() == pytest.approx([2.0, 4.0, 6.0])  # the one that had to wait moves nothing
    assert line.get_ydata() == pytest.approx([0.5, 0.9, 0.91])
    assert accuracy_against_time.accuracy_against_time([distill("abkd"), timed(3.0, cell={"method": "teacher"})]) is None


def test_of_many_methods_the_best_are_drawn_and_the_figure_says_so():
    records = [
        timed(3.0, accuracy=0.5 + number / 100, cell={"alpha": number / 10})
        for number in range(accuracy_against_time.MOST_METHODS + 2)
    ]
    figure = accuracy_against_time.accuracy_against_time(records)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(labels) == accuracy_against_time.MOST_METHODS + 1 and "abkd (0, 0.2)" not in labels
    assert "the best 7 of 9 methods" in figure.get_suptitle()
