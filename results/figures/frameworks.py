"""The same cell in several frameworks as a figure: step losses over each other, their difference, final figures by seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results.figures.style import GREY, colour_of, dress, margins, new_figure
from results.records.record import Record
from results.tables import framework_steps
from results.tables.frameworks import Compared, compared, mean_text
from results.tables.table import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# more columns than these are read by nobody; cells of the most frameworks and runs come first
_MOST = 4
_LEAST = 1e-9  # foot of the logarithmic axis, where differences of exactly 0 are drawn
_STYLES = ("-", "--", ":")


def figures(records: list[Record], metric: str = "test/accuracy") -> dict[str, Figure]:
    """A figure for each pair, data set, scale and dtype that several frameworks have run, by the name of its file.

    Args:
        records: the newest record of each cell, repeats among them.
        metric: the final figure.
    """
    return {f"frameworks-{slug(section)}": draw(section, cells, metric) for section, cells in chosen(records).items()}


def chosen(records: list[Record]) -> dict[str, list[Compared]]:
    """The cells that are drawn, by pair, data set, scale and dtype."""
    by_section: dict[str, list[Compared]] = {}
    for cell in compared(records):
        by_section.setdefault(cell.section, []).append(cell)
    return {section: sorted(cells, key=_rank)[:_MOST] for section, cells in by_section.items()}


def _rank(cell: Compared) -> tuple[int, int]:
    """Cells of more frameworks first, then those of more runs."""
    return -len(cell.sides), -sum(len(runs) for side in cell.sides for runs in side.runs.values())


def draw(section: str, cells: list[Compared], metric: str) -> Figure:
    """The figure of a section: a column for each cell."""
    figure = new_figure(max(5.0, 3.4 * len(cells)), 7.9, layout=None)
    panels = figure.subplots(3, len(cells), squeeze=False)
    for (losses, apart, final), cell in zip(panels.T, cells, strict=True):
        seed = min(cell.sides[0].runs)
        _losses(losses, cell, seed)
        _differences(apart, cell, seed)
        _finals(final, cell, metric)
    panels[0][0].set_ylabel("loss", fontsize=8)
    panels[1][0].set_ylabel("relative difference of the loss", fontsize=8)
    panels[2][0].set_ylabel(metric, fontsize=8)
    margins(figure, left=0.75, bottom=0.35, top=0.55, between=0.5, rows=0.68)
    figure.suptitle(section, fontsize=9)
    return figure


def _losses(axes: Axes, cell: Compared, seed: int) -> None:
    """The loss of every kept step in each framework, one seed."""
    for side, style in zip(cell.sides, _STYLES * len(cell.sides), strict=False):
        steps = framework_steps.read(side.runs[seed][0]) if seed in side.runs else None
        if steps is not None:
            axes.plot(*steps, color=colour_of(side.name), label=side.name, linewidth=0.9, linestyle=style, alpha=0.8)
    teacher = {"own": ", own teachers", "shared": ", the same teacher", "none": ""}[cell.teacher]
    dress(axes, title=f"{cell.label}{teacher}", xlabel="")
    if axes.lines:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter("")
        axes.legend(fontsize=7, frameon=False)


def _differences(axes: Axes, cell: Compared, seed: int) -> None:
    """How far losses lie apart, between frameworks and of each with itself; the largest so far, which is readable."""
    for name, by_seed in framework_steps.of_cell(cell).items():
        if seed not in by_seed:
            continue
        steps, apart = by_seed[seed]
        first, second = name.split(" / ")
        axes.plot(
            steps,
            np.maximum(np.maximum.accumulate(apart), _LEAST),
            label=name,
            linewidth=1.0,
            color=colour_of(first),
            linestyle=":" if second == "itself" else "-" if "jax" in second else "--",
        )
    dress(axes, title=f"largest so far, seed {seed}", xlabel="step")
    if not axes.lines:
        axes.text(0.5, 0.5, "no losses of steps kept", ha="center", fontsize=8, transform=axes.transAxes)
        return
    axes.set_yscale("log")
    axes.axhline(framework_steps.PARTED, color=GREY, linewidth=0.6)
    if len(axes.lines) > 1:
        axes.set_xscale("log")
        axes.legend(fontsize=7, frameon=False)


def _finals(axes: Axes, cell: Compared, metric: str) -> None:
    """The final figure of each seed, joined over frameworks; repeats of a seed as small crosses beside it."""
    seeds = sorted(set().union(*(side.by_seed(metric) for side in cell.sides)))
    # One line with gaps where a seed or its value is missing: thousands of lines of their own take seconds to draw.
    by_side = [side.by_seed(metric) for side in cell.sides]
    across = np.array([*range(len(by_side)), math.nan] * len(seeds))
    values = [figures.get(seed, math.nan) for seed in seeds for figures in (*by_side, {})]
    axes.plot(across, values, color=GREY, linewidth=0.5, alpha=0.5)
    for x, side in enumerate(cell.sides):
        values = list(side.by_seed(metric).values())
        axes.scatter([x] * len(values), values, color=colour_of(side.name), s=16, linewidths=0, label=mean_text(side, metric))
        again = [
            r.metrics[metric] for records in side.runs.values() for r in records[1:] if r.status == "ok" and metric in r.metrics
        ]
        axes.scatter([x + 0.12] * len(again), again, color=colour_of(side.name), s=14, marker="x", linewidths=0.8)
    axes.set_xticks(range(len(cell.sides)), [side.name for side in cell.sides])
    axes.set_xlim(-0.5, len(cell.sides) - 0.5)
    dress(axes, title="a line for each seed; crosses: the seed again", xlabel="")
    axes.legend(fontsize=6.5, frameon=False)
