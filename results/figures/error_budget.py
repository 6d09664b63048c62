"""The error budget: how much of what is allowed the errors of each agreement cell use up, as a table of colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results.figures.style import new_figure
from results.records.record import Record, Status, newest
from results.words import backend_order, dtype_order, is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the ends of the scale of colours: a thousandth of the bound, and ten times the bound
_SCALE = (1e-3, 1e1)


def share(record: Record) -> float:
    """Largest error of a record's rows, value or gradient, as a share of what is allowed for its row.

    Returns:
        1 is at the bound, inf where a row is no number, nan where the record lists no rows (its cell was not measured).
    """
    worst = record.details.get("worst")
    listed = [row.get("excess") for row in worst if isinstance(row, dict)] if isinstance(worst, list) else []
    numbers = [float(value) if is_number(value) else math.inf for value in listed]
    return max(numbers, default=math.nan)


def error_budget(records: list[Record]) -> Figure | None:
    """Shares of their bounds: a panel for each backend, a row for each divergence, a column for each dtype.

    Args:
        records: of the agreement suite; of several records of one cell the newest counts.

    Returns:
        The figure, or None where no record says how far its errors are from their bounds.
    """
    shares = {field_of(record): share(record) for record in newest(records) if record.suite == "agreement"}
    if all(math.isnan(value) for value in shares.values()):
        return None
    failed = {field_of(record) for record in newest(records) if record.status != Status.OK}
    backends, rows, dtypes = ([*dict.fromkeys(p[i] for p in shares)] for i in range(3))
    backends = backend_order(backends)
    dtypes = dtype_order(dtypes)
    longest = max(map(len, rows))
    # Fixed margins, in inches: the names of the divergences stand on the left, once for all panels.
    left, panel, height = 0.4 + 0.075 * longest, 0.62 * len(dtypes), 0.24 * len(rows)
    width, total = left + (panel + 0.15) * len(backends) + 0.1, height + 0.85
    figure = new_figure(width, total, layout=None)
    figure.subplots_adjust(
        left=left / width, right=1 - 0.1 / width, bottom=0.3 / total, top=1 - 0.55 / total, wspace=0.15 / panel
    )
    for axes, backend in zip(figure.subplots(1, len(backends), squeeze=False)[0], backends, strict=True):
        _panel(axes, [[(backend, row, dtype) for dtype in dtypes] for row in rows], shares, failed)
        axes.set_title(backend, fontsize=9)
        axes.set_xticks(range(len(dtypes)), dtypes, fontsize=7)
        axes.set_yticks(range(len(rows)), rows if backend == backends[0] else [], fontsize=7.5)
    figure.suptitle("largest error as a share of its bound (red: over it)", fontsize=9)
    return figure


def field_of(record: Record) -> tuple[str, str, str]:
    """Panel (backend), row (divergence with the parameters that the cell states) and column (dtype) that show a record."""
    cell = record.cell
    parts = [str(cell.get("divergence", "—"))]
    parts += [f"{name}={cell[name]}" for name in ("alpha", "beta", "classes", "spread") if cell.get(name) is not None]
    return record.backend, " ".join(parts), str(cell.get("dtype"))


def _panel(
    axes: Axes,
    fields: list[list[tuple[str, str, str]]],
    shares: dict[tuple[str, str, str], float],
    failed: set[tuple[str, str, str]],
) -> None:
    """One backend: a coloured field with its share in words for each cell; empty where nothing was measured."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    # Light green to yellow below the bound, red beyond it: with the words on it, also for who sees no colours.
    stops = ((0, "#d9f0d3"), (0.74, "#fee08b"), (0.75, "#d6604d"), (1, "#b2182b"))
    values = np.array([[shares.get(field, math.nan) for field in row] for row in fields])
    shown = np.clip(values, *_SCALE)
    axes.imshow(
        np.ma.masked_invalid(shown),
        aspect="auto",
        norm=LogNorm(*_SCALE),
        cmap=LinearSegmentedColormap.from_list("budget", stops),
    )
    for (row, column), value in np.ndenumerate(values):
        over = value > 1 or fields[row][column] in failed
        axes.text(
            column,
            row,
            share_text(value) if fields[row][column] in shares else "",
            ha="center",
            va="center",
            fontsize=7,
            fontweight="bold" if over else "normal",
            color="white" if value > 1 else "black",
        )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def share_text(value: float) -> str:
    """A share in few letters: "0.2 %", "48 %", "31 ×" of the bound; "—" where there is none."""
    if math.isnan(value):
        return "—"
    if math.isinf(value) or value >= 1e4:
        return "≫"
    if value > 1:
        return f"{value:.2g} ×" if value < 100 else f"{value:.0f} ×"
    return "< 0.1 %" if value < 1e-3 else f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
