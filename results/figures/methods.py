"""Methods beside each other: one metric of the students of a whole command."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results import metrics
from results.figures.style import colour_of, dress, margins, new_figure
from results.grouping import finite, variants
from results.records.record import Record
from results.significance.means import mean_and_error
from results.words import backend_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# more methods than a screen has room for are read by nobody
_MOST_LABELS = 12


def methods(records: list[Record], metric: str = "test/accuracy") -> Figure | None:
    """One metric by method and backend: a dot for each seed, and the mean with its standard error.

    Returns:
        The figure, or None where no finished record has the metric. Of many methods the best are drawn.
    """
    groups: dict[tuple[str, str], list[float]] = {}
    for label, group in variants(records, "\n").items():
        for record in group:
            for value in finite([record], metric):
                groups.setdefault((label, record.backend), []).append(value)
    if not groups:
        return None
    labels = _best(groups, metric)
    backends = backend_order({backend for _, backend in groups})
    figure = new_figure(max(4.5, 1.1 * len(labels) * max(1, len(backends) / 2) + 1.5), 3.4, layout=None)
    axes = figure.subplots()
    for row, backend in enumerate(backends):
        shift = (row - (len(backends) - 1) / 2) * 0.22
        colour = colour_of(backend)
        for column, label in enumerate(labels):
            values = groups.get((label, backend), [])
            if not values:
                continue
            mean, error = mean_and_error(values)
            axes.scatter([column + shift] * len(values), values, color=colour, alpha=0.3, s=14, linewidths=0)
            axes.errorbar(column + shift, mean, yerr=error, color=colour, marker="_", markersize=13, capsize=4)
        axes.plot([], [], color=colour, marker="_", label=backend)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    dress(axes, title=f"{metric}: seeds, mean ± standard error", xlabel="")
    axes.legend(fontsize=8, frameon=False)
    margins(figure, bottom=0.2 + 0.15 * max(label.count("\n") + 1 for label in labels))
    return figure


def _best(groups: dict[tuple[str, str], list[float]], metric: str) -> list[str]:
    """The labels of the best methods, in their order."""
    values: dict[str, list[float]] = {}
    for (label, _), of_backend in groups.items():
        values.setdefault(label, []).extend(of_backend)
    sign = metrics.find(metric).sign
    kept = sorted(values, key=lambda label: -sign * math.fsum(values[label]) / len(values[label]))[:_MOST_LABELS]
    return [label for label in values if label in kept]
