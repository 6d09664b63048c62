"""Errors against the reference, as dots by type and backend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results.figures.style import colour_of, dress, margins, new_figure
from results.metrics import columns
from results.records.record import Record
from results.words import backend_order, dtype_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def errors(records: list[Record]) -> Figure | None:
    """Agreement errors by dtype and backend, a dot for each record, value and gradient side by side."""
    names = columns("agreement")
    kept = [r for r in records if any(name in r.metrics for name in names)]
    if not kept:
        return None
    dtypes = dtype_order({str(r.cell.get("dtype")) for r in kept})
    figure = new_figure(4.0 * len(names), 3.2, layout=None)
    for axes, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        for row, backend in enumerate(backend_order({r.backend for r in kept})):
            points = [
                (dtypes.index(str(r.cell.get("dtype"))), r.metrics[name])
                for r in kept
                if r.backend == backend and math.isfinite(r.metrics.get(name, math.nan))
            ]
            axes.scatter(
                [x + (row - 1) * 0.2 for x, _ in points],
                # An error of exactly 0 has no place on a logarithmic axis; it is drawn at the foot.
                [max(y, 1e-18) for _, y in points],
                color=colour_of(backend),
                alpha=0.4,
                s=12,
                linewidths=0,
                label=backend,
            )
        axes.set_yscale("log")
        axes.set_xticks(range(len(dtypes)), dtypes)
        axes.set_xlim(-0.6, len(dtypes) - 0.4)
        dress(axes, title=f"{name} (relative)", xlabel="")
        axes.legend(fontsize=8, frameon=False)
    margins(figure, bottom=0.35, between=0.15)
    return figure
