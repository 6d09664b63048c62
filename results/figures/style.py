"""What all figures share: colours, margins, small ticks; figures are drawn without a display and saved as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from results.words import BACKENDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The same colour for a backend in every figure, told apart also by people who see red and green alike (Okabe and Ito).
COLOURS = dict(zip(BACKENDS, ("#D55E00", "#0072B2", "#009E73"), strict=True))
GREY = "#555555"


def colour_of(backend: str) -> str:
    """The colour of a backend, with or without a device behind its name."""
    return COLOURS.get(backend.split()[0], GREY)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
    return path


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """A figure without pyplot, whose global list would keep every figure of a long run in memory."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def margins(
    figure: Figure,
    *,
    left: float = 0.65,
    right: float = 0.15,
    bottom: float = 0.5,
    top: float = 0.35,
    between: float = 0.6,
    rows: float = 0.6,
) -> None:
    """Fixed margins in inches, for figures with `layout=None`: measuring the text for them takes as long as drawing.

    Args:
        figure: with its panels.
        left, right, bottom, top: around all panels.
        between, rows: between panels side by side, and one above the other.
    """
    # topmost: a colour bar splits the place of its panel
    down, across = figure.axes[0].get_subplotspec().get_topmost_subplotspec().get_gridspec().get_geometry()
    width, height = figure.get_size_inches()
    panel_width = (width - left - right - (across - 1) * between) / across
    panel_height = (height - bottom - top - (down - 1) * rows) / down
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=between / max(panel_width, 0.1),
        hspace=rows / max(panel_height, 0.1),
    )


def dress(axes: Axes, *, title: str, xlabel: str) -> None:
    """Title, label, small ticks and a faint grid, the same in every figure."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(xlabel, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
