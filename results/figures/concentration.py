"""Maps over (α, β): on which classes a gradient step works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reference import concentration as analysis
from results.figures.style import dress, margins, new_figure
from results.grouping import grouped, variants
from results.records.record import Record, Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    logits = record.details.get("logits")
    if not logits or record.status != Status.OK:
        return None
    try:
        student, teacher = np.asarray(logits["student"], float), np.asarray(logits["teacher"], float)
    except (KeyError, TypeError, ValueError):  # written by hand
        return None
    return (student, teacher) if student.ndim == 2 and student.shape == teacher.shape and student.size else None


def concentration(records: list[Record]) -> Figure | None:
    """Where a gradient step at each (α, β) would work, for the finished students of one method, ABKD's if there is one.

    Returns:
        The figure, or None where no record keeps logits.
    """
    kept = [
        (record, (record.backend, label))
        for label, group in variants(records).items()
        for record in group
        if logits_of(record) is not None
    ]
    groups = {name: [record for record, _ in pairs] for name, pairs in grouped(kept, lambda pair: pair[1]).items()}
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
    maps = analysis.concentration_map(student_logits, teacher_logits, _AXIS, _AXIS, temperature=temperature)
    from matplotlib.patheffects import withStroke

    figure = new_figure(10.0, 3.3, layout=None)
    for axes, (name, panel_title) in zip(figure.subplots(1, 3, sharey=True), _PANELS.items(), strict=True):
        image = axes.pcolormesh(_AXIS, _AXIS, maps[name], shading="nearest", cmap="viridis")
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
        dress(axes, title=panel_title, xlabel="α")
        axes.grid(False)
    figure.axes[0].set_ylabel("β", fontsize=8)
    margins(figure, left=0.65, right=0.1, bottom=0.4, top=0.55, between=0.1)
    figure.suptitle(title, fontsize=9)
    return figure
