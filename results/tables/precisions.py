"""Students trained in mixed precision beside those of the same seeds trained in float32: accuracy and time of a step."""

import dataclasses
import math
import statistics
from typing import Any

import pandas

from results import grouping, metrics
from results.records.record import Record
from results.significance.differences import CONFIDENCE, difference
from results.tables.table import Table
from results.words import field_words


def table(records: list[Record], metric: str = "test/accuracy") -> Table | None:
    """Every student's cell that was trained in another precision than float32 too; None where there is none.

    Args:
        records: the newest record of each cell.
        metric: what is compared.
    """
    comparable = grouping.Comparable.of(records)
    kept = [r for r in comparable if r.suite == "distill" and grouping.counts(r) and r.cell.get("method") != grouping.TEACHER]
    if all(r.cell.get("precision") is None for r in kept):
        return None
    labels = grouping.Labels.of(kept)

    def same_but_for_precision(record: Record) -> tuple[Any, ...]:
        group = comparable.groups[id(record)]
        return comparable.cell_of(record, ("precision",)), group.data, group.teacher

    sides = grouping.grouped(kept, same_but_for_precision)
    shown, data = [], []
    for group in sides.values():
        usual = [r for r in group if r.cell.get("precision") is None]
        narrower = [r for r in group if r.cell.get("precision") is not None]
        for precision, narrow in grouping.grouped(narrower, lambda r: r.cell["precision"]).items():
            figures = [grouping.by_seed(side, metric) for side in (narrow, usual)]
            apart = difference(*figures, metrics.find(metric).sign)
            if apart is None:
                continue
            section = field_words(narrow[0], "pair", "dataset", "scale", "teacher_weights")
            label = labels.row(narrow[0])
            times = [statistics.median(grouping.finite(side, "time/step_ms") or [math.nan]) for side in (usual, narrow)]
            shown.append(
                {
                    "cell": section,
                    "method": label,
                    "backend": narrow[0].backend,
                    "precision": precision,
                    "seeds": str(apart.seeds),
                    "difference": f"{apart.mean:+.4f}",
                    f"{CONFIDENCE:.0%} interval": apart.interval,
                    "+ / = / −": apart.seed_counts,
                    "step ms, float32": f"{times[0]:.3g}",
                    "step ms": f"{times[1]:.3g}",
                }
            )
            data.append(
                {
                    "place": section,
                    "method": label,
                    "backend": narrow[0].backend,
                    "precision": precision,
                    "metric": metric,
                    "seeds": apart.seeds,
                    "difference": apart.mean,
                    **{name: value for name, value in dataclasses.asdict(apart).items() if name != "mean"},
                    "step_ms_float32": times[0],
                    "step_ms": times[1],
                }
            )
    if not shown:
        return None
    note = (
        f"{metric} in this precision minus in float32, paired by seed, positive is better; the same teacher, trained in "
        "float32. Intervals are paired t's and not corrected for the number of rows."
    )
    return Table("Mixed precision", pandas.DataFrame(shown), note, pandas.DataFrame(data))
