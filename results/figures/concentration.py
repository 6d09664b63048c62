"""Maps over (α, β): on which classes a step works, and where near the singular lines a formula loses its digits.

Also the table of which figures the run of a whole command gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from reference import concentration as analysis
from reference.error_map import DISTANCES, LINES, PLACES, known_maps
from results.figures.accuracy_against_time import accuracy_against_time
from results.figures.error_budget import error_budget
from results.figures.heat_maps import alpha_beta
from results.figures.parameter_curves import parameter_curves
from results.figures.style import dress, errors, margins, method_label, methods, new_figure, timings
from results.records.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    ErrorMap = Mapping[str, list[list[float]]]

# the square that the maps cover, with the points of forward and reverse KL inside
_AXIS = np.linspace(-0.25, 1.25, 25)
_MARKS = {"FKL": (1.0, 0.0), "RKL": (0.0, 1.0)}
# name of the quantity, title of its panel
_PANELS = {
    "hardness": "hardness: mean |log p − log q|",
    "confidence": "confidence: mean q",
    "classes": "effective number of classes",
}
_MOST_ROWS = 320


def logits_of(record: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """The sample of student and teacher test logits [rows, C] that a finished distillation keeps; None without one."""
    found = record.details.get("logits")
    if not found or record.status != "ok":
        return None
    return np.asarray(found["student"], float), np.asarray(found["teacher"], float)


def concentration(records: list[Record]) -> Figure | None:
    """Where a gradient step at each (α, β) would work, for the finished students of one method, ABKD's if there is one.

    Returns:
        The figure, or None where no record keeps logits.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if logits_of(record) is not None:
            groups.setdefault((record.backend, method_label(record)), []).append(record)
    if not groups:
        return None
    (backend, label), group = min(groups.items(), key=lambda item: (not item[0][1].startswith("abkd"), item[0]))
    shapes = {logits_of(record)[0].shape[1] for record in group}
    group = [record for record in group if logits_of(record)[0].shape[1] == min(shapes)]
    student, teacher = (np.concatenate(side)[:_MOST_ROWS] for side in zip(*map(logits_of, group), strict=True))
    temperature = float(group[0].cell.get("temperature", 1.0))
    title = f"one gradient step at (α, β): {label} on {backend}, {len(student)} test rows, T = {temperature:g}"
    point = (group[0].cell.get("alpha"), group[0].cell.get("beta"))
    return concentration_figure(student, teacher, temperature, title, None if None in point else point)


def concentration_figure(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    temperature: float,
    title: str,
    point: tuple[float, float] | None = None,
) -> Figure:
    """Heat maps over (α, β) of the concentrations of a step (`reference.concentration`).

    Args:
        student_logits, teacher_logits: [rows, C], finite.
        temperature: of both distributions.
        title: above the panels.
        point: an (α, β) to mark.
    """
    found = analysis.concentration_map(student_logits, teacher_logits, _AXIS, _AXIS, temperature=temperature)
    from matplotlib.patheffects import withStroke

    figure = new_figure(10.0, 3.3, layout=None)
    for axes, (name, words) in zip(figure.subplots(1, 3, sharey=True), _PANELS.items(), strict=True):
        image = axes.pcolormesh(_AXIS, _AXIS, found[name], shading="nearest", cmap="viridis")
        figure.colorbar(image, ax=axes, shrink=0.85).ax.tick_params(labelsize=7)
        marks = _MARKS | ({"cell": point} if point else {})
        for text, (alpha, beta) in marks.items():
            axes.plot(alpha, beta, "o", color="white", markeredgecolor="black", markersize=5)
            axes.annotate(
                text,
                (alpha, beta),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=7,
                color="white",
                path_effects=[withStroke(linewidth=1.5, foreground="black")],
            )
        dress(axes, title=words, xlabel="α")
        axes.grid(False)
    figure.axes[0].set_ylabel("β", fontsize=8)
    margins(figure, left=0.65, right=0.1, bottom=0.4, top=0.55, between=0.1)
    figure.suptitle(title, fontsize=9)
    return figure


def near_lines(records: list[Record]) -> Figure:
    """The error map near the singular lines: the published formula, ours, and what each backend measured in float32."""
    return all_near_lines(measured_near_lines(records))


def all_near_lines(measured: Mapping[str, ErrorMap]) -> Figure:
    """The same from the maps that backends have measured, by title."""
    return near_lines_figure({**known_maps(), **measured})


def measured_near_lines(records: list[Record]) -> dict[str, ErrorMap]:
    """The error maps that agreement records hold, by backend and dtype."""
    found = {f"{r.backend}, {r.cell.get('dtype')}": r.details.get("error_map") for r in records}
    return {title: entry for title, entry in found.items() if entry and set(entry) == set(LINES)}


def near_lines_figure(maps: Mapping[str, ErrorMap]) -> Figure:
    """A row for each map, a panel for each line; colour is the relative error, bright where it is 1 or more."""
    figure = new_figure(8.6, 1.0 + 1.75 * len(maps), layout=None)
    panels = figure.subplots(len(maps), len(LINES), sharex=True, sharey=True, squeeze=False)
    labels = ["0", *(f"{distance:.0e}" for distance in DISTANCES[1:])]
    for row, (title, found) in zip(panels, maps.items(), strict=True):
        for axes, line in zip(row, LINES, strict=True):
            logs = np.log10(np.clip(np.asarray(found[line], float), 1e-16, 1e1))
            image = axes.imshow(logs, aspect="auto", origin="lower", cmap="inferno", vmin=-16, vmax=0)
            axes.set_xticks(range(len(PLACES)), [f"{place:g}" for place in PLACES], fontsize=7)
            axes.set_yticks(range(0, len(DISTANCES), 5), labels[::5], fontsize=7)
            axes.set_title(f"{title}: {line}" if axes is row[0] else line, fontsize=8, loc="left")
        row[0].set_ylabel("distance from the line", fontsize=7)
    for axes in panels[-1]:
        axes.set_xlabel("the other parameter", fontsize=7)
    margins(figure, left=0.75, right=0.9, bottom=0.4, top=0.3, between=0.12, rows=0.3)
    place = figure.add_axes((1 - 0.75 / figure.get_figwidth(), 0.2, 0.15 / figure.get_figwidth(), 0.6))
    bar = figure.colorbar(image, cax=place, label="log10 of the relative error")
    bar.ax.tick_params(labelsize=7)
    return figure


# figures of the run of a whole command, by suite: (file name, function of its records)
OF_INVOCATION: dict[str, tuple[tuple[str, Callable[[list[Record]], Figure | None]], ...]] = {
    "agreement": (("errors", errors), ("error_budget", error_budget), ("near_lines", near_lines)),
    "loss": (("timings", timings),),
    "distill": (
        ("methods", methods),
        ("accuracy_against_time", accuracy_against_time),
        ("alpha_beta", alpha_beta),
        ("parameters", parameter_curves),
        ("concentration", concentration),
    ),
}
