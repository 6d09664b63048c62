"""Learning curves of one cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results.figures.style import colour_of, dress, margins, new_figure
from results.metrics import position
from results.records.record import Record, Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# more panels are hard to read in the MLflow UI
_MOST_PANELS = 3


def learning_curves(record: Record) -> Figure | None:
    """Loss and test metrics over the epochs of one cell.

    Returns:
        A figure with one panel for each kind of curve, or None where the record has no curve.
    """
    curves = {name: values for name, values in record.curves.items() if values}
    if not curves:
        return None
    # the loss first, then what most people look for
    names = sorted(curves, key=lambda name: (name != "train/loss", *position(name)))[:_MOST_PANELS]
    figure = new_figure(3.6 * len(names), 3.0, layout=None)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = [value if value is not None and math.isfinite(value) else math.nan for value in curves[name]]
        marker = "o" if len(values) < 40 else ""
        axes.plot(range(1, len(values) + 1), values, color=colour_of(record.backend), marker=marker, markersize=3)
        dress(axes, title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    margins(figure, left=0.5, bottom=0.45, top=0.55, between=0.5)
    figure.suptitle(record.title + ("" if record.status == Status.OK else f" ({record.status})"), fontsize=9)
    return figure
