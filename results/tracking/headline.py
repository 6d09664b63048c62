"""What the run of a whole command is called, and its best figures: what a list shows that is not unfolded."""

from __future__ import annotations

import statistics

from results import grouping, metrics
from results.records.record import Record, Status, identity
from results.words import method_label

_JUDGED_BY = "test/accuracy"


def headline(suite: str, records: list[Record]) -> tuple[str, dict[str, float]]:
    """Words on the best of these records, for the name of their run, and its figures by metric.

    Of trainings that is the setting with the best mean over its seeds, among those of equally many seeds; of other
    suites each figure's best or, where it is an error, its largest.
    """
    ended = [record for record in records if record.status == Status.OK]
    if suite == "distill":
        return _of_trainings(ended)
    figures = {}
    for name in metrics.columns(suite):
        values = grouping.finite(ended, name)
        if values:
            figures[name] = max(values) if suite == "agreement" else metrics.find(name).best(values)
    return f"{len(records)} cells", figures


def _of_trainings(ended: list[Record]) -> tuple[str, dict[str, float]]:
    students = [r for r in ended if grouping.counts(r) and r.cell.get("method") != grouping.TEACHER]
    settings = list(grouping.grouped([r for r in students if grouping.finite([r], _JUDGED_BY)], _setting).values())
    if not settings:
        return f"{len(ended)} cells", {}
    most = max(map(len, settings))
    alike = [group for group in settings if len(group) == most]
    means = [statistics.fmean(grouping.finite(group, _JUDGED_BY)) for group in alike]
    best = alike[means.index(metrics.find(_JUDGED_BY).best(means))]
    figures = {name: grouping.finite(best, name) for name in metrics.columns("distill")}
    figures = {name: statistics.fmean(values) for name, values in figures.items() if values}
    seeds = f" ({most} seeds)" if most > 1 else ""
    return f"best {method_label(best[0])} {figures[_JUDGED_BY]:.4f}{seeds}", figures


def _setting(record: Record) -> str:
    """What all seeds of a setting share: their cell and the numbers of their recipe."""
    return identity({**record.cell, "recipe": record.details.get("recipe"), "backend": record.backend}, without=("seed",))
