"""Accuracy against time: which method has reached what after how many seconds of training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results import metrics
from results.figures.style import dress, margins, new_figure
from results.grouping import TEACHER, variants
from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.words import backend_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# trainings of one method on one backend: (seconds, values) of each, epoch by epoch
Runs = list[tuple[np.ndarray, np.ndarray]]

# methods drawn in one figure, the best ones; more lines cannot be told apart
MOST_METHODS = 7
# Okabe and Ito's colours without those of the backends' figures in front, so that nobody takes a method for a backend.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
_LINES = {"torch": "-", "jax": "--", "tensorflow": ":"}
_MARKS = {"torch": "o", "jax": "s", "tensorflow": "^"}


def seconds(record: Record, metric: str) -> np.ndarray | None:
    """When each epoch of a curve ended, in seconds since the training began.

    A record holds the time of the whole training and of compiling, not of each epoch: compiling comes first, and the
    epochs share the rest evenly, as they have the same number of steps.

    Returns:
        [epochs], or None where the record has no such curve or no time.
    """
    total, curve = record.metrics.get("time/total_s", math.nan), record.curves.get(metric)
    if not curve or not math.isfinite(total):
        return None
    compiling = record.metrics.get("time/compile_s", 0.0)
    compiling = min(compiling, total) if math.isfinite(compiling) else 0.0
    return compiling + (total - compiling) * np.arange(1, len(curve) + 1) / len(curve)


def accuracy_against_time(records: list[Record], metric: str = "test/accuracy") -> Figure | None:
    """A line for each method and backend, epoch by epoch, and beside it where the trainings ended.

    Values are means over seeds. Times are medians: a training that had to wait for the machine says nothing of a method.

    Args:
        records: of the distillation suite; students that finished count.
        metric: the curve.

    Returns:
        The figure, or None where no record has curve and time. Of many methods the best are drawn.
    """
    groups: dict[tuple[str, str], Runs] = {}
    students = ((label, record) for label, group in variants(records).items() for record in group)
    for label, record in students:
        when = seconds(record, metric)
        if when is None or record.status != Status.OK or record.cell.get("method") == TEACHER:
            continue
        values = np.array([math.nan if v is None else v for v in record.curves[metric]], float)
        groups.setdefault((label, record.backend), []).append((when, values))
    if not groups:
        return None
    sign = metrics.find(metric).sign
    best: dict[str, float] = {}
    for (label, _), runs in groups.items():
        mean = sign * float(np.mean([values[-1] for _, values in runs]))
        best[label] = max(best.get(label, -math.inf), mean)
    chosen = sorted(best, key=lambda label: -best[label])[:MOST_METHODS]
    colours = dict(zip([label for label in best if label in chosen], _COLOURS, strict=False))
    figure = new_figure(9.2, 3.6, layout=None)
    curves, ends = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_curves(curves, groups, colours, metric)
    _draw_ends(ends, groups, colours, metric)
    backends = backend_order({backend for _, backend in groups})
    handles = [curves.plot([], [], color=colour, label=label)[0] for label, colour in colours.items()]
    handles += [
        curves.plot(
            [], [], color="#555555", linestyle=_LINES.get(name, "-."), marker=_MARKS.get(name, "d"), markersize=4, label=name
        )[0]
        for name in backends
    ]
    curves.legend(handles=handles, fontsize=7.5, frameon=False, loc="lower right" if sign > 0 else "upper right")
    margins(figure, left=0.45, top=0.5 if len(best) > len(colours) else 0.3)
    if len(best) > len(colours):
        figure.suptitle(f"the best {len(colours)} of {len(best)} methods", fontsize=9)
    return figure


def _draw_curves(axes: Axes, groups: dict[tuple[str, str], Runs], colours: dict[str, str], metric: str) -> None:
    """Means of the metric against median times, epoch by epoch; of trainings of several lengths the most frequent."""
    last = []
    for (label, backend), runs in groups.items():
        if label not in colours:
            continue
        lengths = [len(values) for _, values in runs]
        usual = max(dict.fromkeys(lengths), key=lengths.count)
        kept = [run for run in runs if len(run[1]) == usual]
        when = np.median([when for when, _ in kept], axis=0)
        axes.plot(
            when,
            np.mean([values for _, values in kept], axis=0),
            color=colours[label],
            linewidth=1.4,
            linestyle=_LINES.get(backend, "-."),
        )
        last.append(when[-1])
    if max(last) > 20 * min(last) > 0:
        axes.set_xscale("log")
    dress(axes, title=f"{metric}: mean over seeds, epoch by epoch", xlabel="seconds of training, compiling included")


def _draw_ends(axes: Axes, groups: dict[tuple[str, str], Runs], colours: dict[str, str], metric: str) -> None:
    """Where the trainings ended: mean ± standard error of the metric, median and quartiles of the time."""
    for (label, backend), runs in groups.items():
        if label not in colours:
            continue
        mean, error = mean_and_error([float(values[-1]) for _, values in runs])
        low, middle, high = np.quantile([when[-1] for when, _ in runs], (0.25, 0.5, 0.75))
        axes.errorbar(
            middle,
            mean,
            yerr=error,
            xerr=[[middle - low], [high - middle]],
            color=colours[label],
            markersize=5,
            marker=_MARKS.get(backend, "d"),
            capsize=2,
            linewidth=1,
        )
    dress(axes, title="at the end: mean ± standard error", xlabel="seconds: median and quartiles")
