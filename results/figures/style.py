"""Figures as PNG files, drawn without a display: learning curves of a cell, methods of an invocation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from results.metrics import higher_is_better
from results.records.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The same colour for a backend in every figure, told apart also by people who see red and green alike (Okabe and Ito).
COLOURS = {"torch": "#D55E00", "jax": "#0072B2", "tensorflow": "#009E73"}
# from the widest to the narrowest
DTYPES = ("float64", "float32", "bfloat16", "float16")
_GREY = "#555555"
_MOST_LABELS = 12


def backend_order(names: Iterable[str]) -> list[str]:
    """Backends in the order of every table, unknown ones last."""
    known = list(COLOURS)
    return sorted(names, key=lambda n: (known.index(n.split()[0]) if n.split()[0] in known else len(known), n))


def dtype_order(names: Iterable[str]) -> list[str]:
    """Types in the order of every table, from the widest to the narrowest, unknown ones last."""
    return sorted(names, key=lambda name: (DTYPES.index(name) if name in DTYPES else len(DTYPES), name))


def learning_curves(record: Record) -> Figure | None:
    """Loss and test metrics over the epochs of one cell.

    Returns:
        A figure with one panel for each kind of curve, or None where the record has no curve.
    """
    curves = {name: values for name, values in sorted(record.curves.items()) if values}
    if not curves:
        return None
    # Loss first, then what most people look for; more than three panels are hard to read in the MLflow UI.
    order = {"train/loss": 0, "test/accuracy": 1, "test/nll": 2}
    names = sorted(curves, key=lambda name: (order.get(name, len(order)), name))[:3]
    figure = new_figure(3.6 * len(names), 3.0, layout=None)
    colour = COLOURS.get(record.backend, _GREY)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = [value if value is not None and math.isfinite(value) else math.nan for value in curves[name]]
        axes.plot(range(1, len(values) + 1), values, color=colour, marker="o" if len(values) < 40 else "", markersize=3)
        dress(axes, title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    margins(figure, left=0.5, bottom=0.45, top=0.55, between=0.5)
    figure.suptitle(record.title + ("" if record.status == "ok" else f" ({record.status})"), fontsize=9)
    return figure


def methods(records: list[Record], metric: str = "test/accuracy") -> Figure | None:
    """One metric by method and backend: a dot for each seed, and the mean with its standard error.

    Returns:
        The figure, or None where no finished record has the metric. Of many methods the best are drawn.
    """
    groups: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.cell.get("scale") == "trace" or record.cell.get("repeat"):
            continue  # 20 steps only, to compare frameworks by; the same seed once more
        value = record.metrics.get(metric)
        if record.status == "ok" and value is not None and math.isfinite(value):
            groups.setdefault((variant_label(record, "\n"), record.backend), []).append(value)
    if not groups:
        return None
    labels = _best(groups, metric)
    backends = backend_order({backend for _, backend in groups})
    figure = new_figure(max(4.5, 1.1 * len(labels) * max(1, len(backends) / 2) + 1.5), 3.4, layout=None)
    axes = figure.subplots()
    for row, backend in enumerate(backends):
        shift = (row - (len(backends) - 1) / 2) * 0.22
        colour = COLOURS.get(backend, _GREY)
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
    """The labels to draw, in their order: more than a screen has room for are read by nobody."""
    values: dict[str, list[float]] = {}
    for (label, _), found in groups.items():
        values.setdefault(label, []).extend(found)
    sign = -1 if higher_is_better(metric) else 1
    kept = sorted(values, key=lambda label: sign * math.fsum(values[label]) / len(values[label]))[:_MOST_LABELS]
    return [label for label in values if label in kept]


def errors(records: list[Record]) -> Figure | None:
    """Agreement errors by dtype and backend, a dot for each record, value and gradient side by side."""
    names = ("agreement/value_error", "agreement/gradient_error")
    kept = [r for r in records if any(name in r.metrics for name in names)]
    if not kept:
        return None
    dtypes = dtype_order({str(r.cell.get("dtype")) for r in kept})
    figure = new_figure(8.0, 3.2, layout=None)
    for axes, name in zip(figure.subplots(1, 2, sharey=True), names, strict=True):
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
                color=COLOURS.get(backend, _GREY),
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


def timings(records: list[Record], metric: str = "loss/forward_backward_ms") -> Figure | None:
    """Loss timings: a bar for each problem and implementation; timings whose check failed are not drawn."""
    kept = [r for r in records if r.status == "ok" and math.isfinite(r.metrics.get(metric, math.nan))]
    if not kept:
        return None
    bars = {}
    for record in kept:
        cell = record.cell
        words = (f"{cell.get('rows')}×{cell.get('classes')}", cell.get("dtype"), cell.get("implementation"))
        bars[f"{record.backend} " + " ".join(str(word) for word in words if word)] = (record.metrics[metric], record.backend)
    figure = new_figure(7.5, 0.32 * len(bars) + 1.0, layout=None)
    axes = figure.subplots()
    labels = sorted(bars, reverse=True)
    drawn = axes.barh(labels, [bars[n][0] for n in labels], color=[COLOURS.get(bars[n][1], _GREY) for n in labels])
    axes.bar_label(drawn, fmt="%.3g", fontsize=8, padding=2)
    axes.set_xscale("log")
    dress(axes, title=metric, xlabel="milliseconds")
    margins(figure, left=0.25 + 0.065 * max(map(len, labels)), right=0.5)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
    return path


def method_label(record: Record) -> str:
    """The method of a record with its α and β where its cell states them: `abkd (0.8, 0.2)`."""
    cell = record.cell
    name = str(cell.get("method", "—"))
    if cell.get("alpha") is None or cell.get("beta") is None:
        return name
    return f"{name} ({cell['alpha']:g}, {cell['beta']:g})"


def variant_label(record: Record, separator: str = " ") -> str:
    """The method's label, and what else makes two trainings of it different things: precision and a given teacher."""
    own = [field_word(name, record.cell[name]) for name in ("precision", "teacher_weights") if record.cell.get(name)]
    return separator.join([method_label(record), *own])


def field_word(name: str, value: object) -> str:
    """A field of a cell as a word; of given weights the beginning of their digest, which tells them apart."""
    if name == "teacher_weights":
        return f"teacher {str(value).split()[-1][:6]}"
    return f"mixed {value}" if name == "precision" else str(value)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and standard error of the mean (nan for a single value)."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


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
