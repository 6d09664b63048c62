"""Where near the singular lines a formula loses its digits: maps of the error, from the reference and from records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from reference.error_map import DISTANCES, LINES, PLACES, known_maps
from results.figures.style import margins, new_figure
from results.records.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    ErrorMap = Mapping[str, list[list[float]]]


def near_lines(records: list[Record]) -> Figure:
    """The error map near the singular lines: the published formula, ours, and what each backend measured in float32."""
    return draw(measured(records))


def measured(records: list[Record]) -> dict[str, ErrorMap]:
    """The error maps that agreement records hold, by backend and dtype."""
    maps = {f"{r.backend}, {r.cell.get('dtype')}": r.details.get("error_map") for r in records}
    return {title: by_line for title, by_line in maps.items() if by_line and set(by_line) == set(LINES) and _fits(by_line)}


def _fits(by_line: ErrorMap) -> bool:
    """Whether a record holds maps of the usual size."""
    try:
        return all(np.asarray(part, float).shape == (len(DISTANCES), len(PLACES)) for part in by_line.values())
    except (TypeError, ValueError):
        return False


def draw(measured: Mapping[str, ErrorMap]) -> Figure:
    """The maps of the published formula and of ours, then those that backends have measured, by title.

    A row for each map, a panel for each line; colour is the relative error, bright where it is 1 or more.
    """
    maps = {**known_maps(), **measured}
    figure = new_figure(8.6, 1.0 + 1.75 * len(maps), layout=None)
    panels = figure.subplots(len(maps), len(LINES), sharex=True, sharey=True, squeeze=False)
    labels = ["0", *(f"{distance:.0e}" for distance in DISTANCES[1:])]
    for row, (title, by_line) in zip(panels, maps.items(), strict=True):
        for axes, line in zip(row, LINES, strict=True):
            logs = np.log10(np.clip(np.asarray(by_line[line], float), 1e-16, 1e1))
            image = axes.imshow(logs, aspect="auto", origin="lower", cmap="inferno", vmin=-16, vmax=0)
            axes.set_xticks(range(len(PLACES)), [f"{place:g}" for place in PLACES], fontsize=7)
            axes.set_yticks(range(0, len(DISTANCES), 5), labels[::5], fontsize=7)
            axes.set_title(f"{title}: {line}" if axes is row[0] else line, fontsize=8, loc="left")
        row[0].set_ylabel("distance from the line", fontsize=7)
    for axes in panels[-1]:
        axes.set_xlabel("the other parameter", fontsize=7)
    margins(figure, left=0.75, right=0.9, bottom=0.4, top=0.3, between=0.12, rows=0.3)
    beside = figure.add_axes((1 - 0.75 / figure.get_figwidth(), 0.2, 0.15 / figure.get_figwidth(), 0.6))
    bar = figure.colorbar(image, cax=beside, label="log10 of the relative error")
    bar.ax.tick_params(labelsize=7)
    return figure
