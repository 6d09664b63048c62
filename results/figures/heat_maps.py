"""Accuracy over (α, β), as Fig. 1 of the ABKD paper shows it: a grid of squares, or points of a random search."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from results import grouping, metrics
from results.figures.style import dress, margins, new_figure
from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.words import is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# sequential, and the same to eyes that see red and green alike
_COLOURS = "viridis"
_STOPPED = "#bbbbbb"
# fewer points are a comparison, no map
_FEWEST = 4
# more panels are read by nobody
_MOST_PANELS = 4
# up to so many values of α a square has room for the standard error
_ROOMY = 8
_MOST_SQUARES = 24
_MOST_TEXTS = 40
# values further from the median than so many times the best one are drawn in the last colour
_FAR = 4
_PLANE = ("alpha", "beta", "seed")


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One map: (α, β) to the figure of each seed; empty where it was stopped early or did not end well."""

    title: str
    section: str
    points: dict[tuple[float, float], dict[Any, float]]
    stopped: set[tuple[float, float]]

    @property
    def axes(self) -> tuple[list[float], list[float]]:
        """The values of α and of β."""
        return sorted({a for a, _ in self.points}), sorted({b for _, b in self.points})

    @property
    def seeds(self) -> int:
        """How many seeds the points have that have most."""
        return max(map(len, self.points.values()))

    @property
    def is_map(self) -> bool:
        """Whether there is a plane to draw."""
        return len(self.points) >= _FEWEST and all(len(axis) > 1 for axis in self.axes) and any(self.points.values())

    @property
    def is_grid(self) -> bool:
        """Whether the points fill most squares of a grid."""
        alphas, betas = self.axes
        return len(alphas) * len(betas) <= 1.5 * len(self.points) and max(len(alphas), len(betas)) <= _MOST_SQUARES


def alpha_beta(records: list[Record], metric: str = "test/accuracy") -> Figure | None:
    """A map for each data set, pair, backend, method and choice of its other parameters.

    Where the other parameters were searched too, so that hardly two points share them, one map shows all points.

    Args:
        records: of any suite; students with α and β count.
        metric: the figure that colours show.

    Returns:
        The figure, or None where no (α, β) plane was searched.
    """
    panels = sorted(_panels(records, metric), key=lambda panel: -len(panel.points))
    if not panels:
        return None
    shown = panels[:_MOST_PANELS]
    columns = 1 if len(shown) == 1 else 2
    rows = math.ceil(len(shown) / columns)
    widest = max(len(panel.axes[0]) if panel.is_grid else 8 for panel in shown)
    highest = max(len(panel.axes[1]) if panel.is_grid else 6 for panel in shown)
    size = min(max(0.72 * widest + 1.9, 4.6), 11.0), min(max(0.56 * highest + 1.2, 3.4), 9.0)
    figure = new_figure(size[0] * columns, size[1] * rows + 0.3, layout=None)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, shown, strict=False):
        alike = [other for other in panels if other.section == panel.section]
        _draw(figure, axes, panel, metric, _limits(alike, metrics.find(metric)))
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    margins(figure, right=0.35, top=0.95, between=0.8, rows=0.85)
    left_out = f"; {len(panels) - len(shown)} more maps not shown" if len(panels) > len(shown) else ""
    figure.suptitle(f"{metric}, mean over seeds; ★ best (chosen on the test images){left_out}", fontsize=9)
    return figure


def _panels(records: list[Record], metric: str) -> list[_Panel]:
    kept = grouping.Comparable.of(records).only(lambda r: all(is_number(r.cell.get(name)) for name in ("alpha", "beta")))
    maps = []
    for section, students in grouping.alike(kept, searched=True).items():
        for (backend, method), group in grouping.grouped(students, lambda r: (r.backend, r.cell.get("method"))).items():
            varying = grouping.varying(group, (*_PLANE, "device"))
            parts = grouping.grouped(group, lambda r, names=varying: tuple((n, repr(grouping.fields(r).get(n))) for n in names))
            panels = []
            for key, part in parts.items():
                parameters = "".join(f", {name.replace('_', ' ')} {value}" for name, value in key)
                panels.append(_panel(f"{backend} {method}{parameters}", section, part, metric))
            panels = [panel for panel in panels if panel.is_map]
            points = grouping.grouped(parts.values(), lambda part: (part[0].cell["alpha"], part[0].cell["beta"]))
            if not panels and len(points) == len(parts):  # searched at random in further parameters: a setting a point
                searched = f", over all {', '.join(name.replace('_', ' ') for name in varying)}" if varying else ""
                panels = [_panel(f"{backend} {method}{searched}", section, group, metric)]
            maps += [panel for panel in panels if panel.is_map]
    return maps


def _panel(title: str, section: str, records: list[Record], metric: str) -> _Panel:
    by_point = grouping.grouped(records, lambda r: (float(r.cell["alpha"]), float(r.cell["beta"])))
    stopped = {point for point, group in by_point.items() if any(r.status == Status.PRUNED for r in group)}
    values = {point: {} if point in stopped else grouping.by_seed(group, metric) for point, group in by_point.items()}
    return _Panel(title, section, values, stopped)


def _draw(figure: Figure, axes: Axes, panel: _Panel, metric: str, colours: tuple[tuple[float, float], str]) -> None:
    """One map; `colours` are what `_limits` gave for all maps of its section."""
    means = {point: mean_and_error(list(values.values())) for point, values in panel.points.items() if values}
    best = grouping.best_of(panel.points, metric)
    limits, beyond = colours
    image = (_squares if panel.is_grid else _points)(axes, panel, means, best, limits)
    figure.colorbar(image, ax=axes, shrink=0.9, extend=beyond).ax.tick_params(labelsize=7)
    dress(axes, title=f"{panel.title}\n{panel.section}", xlabel="α")
    axes.set_ylabel("β", fontsize=8)
    axes.grid(False)


def _limits(panels: list[_Panel], metric: metrics.Metric) -> tuple[tuple[float, float], str]:
    """Limits of the colours, and whether some means lie beyond: failures must not make all others look the same."""
    means = [mean_and_error(list(values.values()))[0] for panel in panels for values in panel.points.values() if values]
    middle, best = float(np.median(means)), metric.best(means)
    far = _FAR * max(abs(best - middle), 1e-6)
    kept = [mean for mean in means if metric.sign * (middle - mean) <= far]
    return (min(kept), max(kept)), ("max" if metric.better == "lower" else "min") if len(kept) < len(means) else "neither"


def _squares(axes: Axes, panel: _Panel, means: dict, best: tuple[float, float], limits: tuple[float, float]):
    """A square for each point of the grid, with its figure; white where there is none."""
    from matplotlib.patches import Rectangle

    alphas, betas = panel.axes
    grid = np.full((len(betas), len(alphas)), np.nan)
    for (alpha, beta), (mean, _) in means.items():
        grid[betas.index(beta), alphas.index(alpha)] = mean
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap=_COLOURS, vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    axes.set_yticks(range(len(betas)), [f"{beta:g}" for beta in betas])
    size = 8 if len(alphas) <= _ROOMY else 6.5 if len(alphas) <= 12 else 5
    for point in panel.points:
        column, row = alphas.index(point[0]), betas.index(point[1])
        if point in panel.stopped:
            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_STOPPED, hatch="///", edgecolor="white", linewidth=0)
            )
            axes.text(column, row, "stopped", ha="center", va="center", fontsize=size - 2, color="#222222")
        elif point in means:
            mean, error = means[point]
            text = f"{mean:.3f}" + ("\n★" if point == best else "")
            if len(alphas) <= _ROOMY:
                few = len(panel.points[point]) < panel.seeds
                below = f"{len(panel.points[point])} of {panel.seeds}" if few else f"±{error:.3f}"
                text = f"{'★ ' if point == best else ''}{mean:.3f}" + (f"\n{below}" if panel.seeds > 1 else "")
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color=_ink(image, mean),
                fontweight="bold" if point == best else None,
            )
    column, row = alphas.index(best[0]), betas.index(best[1])
    axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor="#D55E00", lw=2.2))
    return image


def _points(axes: Axes, panel: _Panel, means: dict, best: tuple[float, float], limits: tuple[float, float]):
    """A dot for each point; crosses were stopped early."""
    alphas, betas = zip(*means, strict=True)
    colours = [mean for mean, _ in means.values()]
    image = axes.scatter(
        alphas,
        betas,
        c=colours,
        cmap=_COLOURS,
        vmin=limits[0],
        vmax=limits[1],
        s=70,
        edgecolors="black",
        linewidths=0.5,
        zorder=2,
    )
    if panel.stopped:
        axes.scatter(*zip(*panel.stopped, strict=True), marker="x", color="#777777", s=25, zorder=1, label="stopped early")
        axes.legend(fontsize=7, loc="best")
    axes.scatter(*best, marker="*", s=260, facecolors="none", edgecolors="#D55E00", linewidths=1.6, zorder=3)
    texts: list[tuple[float, float]] = []
    for point in sorted(means, key=lambda point: point != best):  # the best one has its text in any case
        if len(texts) < _MOST_TEXTS and all(_apart(point, other, alphas, betas) for other in texts):
            texts.append(point)
    for point in texts:
        axes.annotate(
            f"{means[point][0]:.3f}",
            point,
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
            fontweight="bold" if point == best else None,
        )
    axes.margins(0.08)
    return image


def _apart(point: tuple[float, float], other: tuple[float, float], alphas: tuple, betas: tuple) -> bool:
    """Whether the texts of two points leave each other room."""
    width, height = max(alphas) - min(alphas), max(betas) - min(betas)
    return abs(point[0] - other[0]) > 0.05 * width or abs(point[1] - other[1]) > 0.03 * height


def _ink(image, value: float) -> str:
    """Black or white, whichever reads better on the colour of a value."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
