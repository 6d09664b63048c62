"""Times of the loss, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.figures.style import colour_of, dress, margins, new_figure
from results.grouping import finite
from results.records.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def timings(records: list[Record], metric: str = "loss/forward_backward_ms") -> Figure | None:
    """Loss timings: a bar for each problem and implementation; timings whose check failed are not drawn."""
    kept = [record for record in records if finite([record], metric)]
    if not kept:
        return None
    bars = {}
    for record in kept:
        cell = record.cell
        problem = (f"{cell.get('rows')}×{cell.get('classes')}", cell.get("dtype"), cell.get("implementation"))
        bars[" ".join([record.backend, *(str(part) for part in problem if part)])] = (record.metrics[metric], record.backend)
    figure = new_figure(7.5, 0.32 * len(bars) + 1.0, layout=None)
    axes = figure.subplots()
    labels = sorted(bars, reverse=True)
    drawn = axes.barh(labels, [bars[n][0] for n in labels], color=[colour_of(bars[n][1]) for n in labels])
    axes.bar_label(drawn, fmt="%.3g", fontsize=8, padding=2)
    axes.set_xscale("log")
    dress(axes, title=metric, xlabel="milliseconds")
    margins(figure, left=0.25 + 0.065 * max(map(len, labels)), right=0.5)
    return figure
