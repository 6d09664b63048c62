"""Accuracy over the one parameter that a sweep searched: what a map over (α, β) is for two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results import grouping
from results.figures.style import colour_of, dress, margins, new_figure
from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.words import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# fewer values are a comparison, no curve
_FEWEST = 4
_MOST_PANELS = 4


def parameter_curves(records: list[Record], metric: str = "test/accuracy") -> Figure | None:
    """Mean ± standard error over the values of a parameter, for each data set, pair and method that differs in one only.

    Args:
        records: of any suite.
        metric: the figure that is drawn; backends beside each other.

    Returns:
        The figure, or None where no parameter was searched alone.
    """
    panels = _panels(records)[:_MOST_PANELS]
    if not panels:
        return None
    figure = new_figure(4.6 * min(len(panels), 2), 3.2 * math.ceil(len(panels) / 2), layout=None)
    grid = figure.subplots(math.ceil(len(panels) / 2), min(len(panels), 2), squeeze=False).flatten()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, name, group) in zip(grid, panels, strict=False):
        for backend, of_backend in grouping.grouped(group, lambda r: r.backend).items():
            by_value = grouping.grouped(of_backend, lambda r, n=name: float(grouping.fields(r)[n]))
            figures = {value: grouping.by_seed(of_value, metric) for value, of_value in sorted(by_value.items())}
            stopped = [v for v, of_value in by_value.items() if any(r.status == Status.PRUNED for r in of_value)]
            figures = {value: of_seeds for value, of_seeds in figures.items() if of_seeds and value not in stopped}
            drawn = {value: mean_and_error(list(of_seeds.values())) for value, of_seeds in figures.items()}
            if not drawn:
                continue
            means, errors = zip(*drawn.values(), strict=True)
            colour = colour_of(backend)
            axes.errorbar(list(drawn), means, yerr=errors, color=colour, marker="o", markersize=4, capsize=3, label=backend)
            best = grouping.best_of(figures, metric)
            axes.plot(best, drawn[best][0], marker="*", markersize=15, color="none", markeredgecolor="black")
            axes.plot(stopped, [min(means)] * len(stopped), "x", color="#777777", label="stopped early" if stopped else None)
        dress(axes, title=title, xlabel=name.replace("_", " "))
        axes.set_ylabel(metric, fontsize=8)
        axes.legend(fontsize=7, frameon=False)
    margins(figure, between=0.75, rows=0.75)
    return figure


def _panels(records: list[Record]) -> list[tuple[str, str, list[Record]]]:
    """(title, parameter, students) of each method of a section whose settings differ in one parameter."""
    panels = []
    for section, students in grouping.alike(records, searched=True).items():
        for method, group in grouping.grouped(students, lambda r: r.cell.get("method")).items():
            varying = grouping.varying(group)
            if len(varying) != 1:
                continue
            (name,) = varying
            values = [grouping.fields(r).get(name) for r in group]
            if all(map(is_number, values)) and len(set(values)) >= _FEWEST:
                panels.append((f"{method}\n{section}", name, group))
    return panels
