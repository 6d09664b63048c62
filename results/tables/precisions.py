"""Students trained in mixed precision beside those of the same seeds trained in float32: accuracy and time of a step."""

import dataclasses
import math
import statistics

import pandas

from results import grouping, metrics
from results.records.record import Record, identity
from results.significance.differences import CONFIDENCE, difference
from results.tables.table import Table
from results.words import field_words


def table(records: list[Record], metric: str = "test/accuracy") -> Table | None:
    """Every student's cell that was trained in another precision than float32 too; None where there is none.

    Args:
        records: the newest record of each cell.
        metric: what is compared.
    """
    kept = [r for r in records if r.suite == "distill" and grouping.counts(r) and r.cell.get("method") != grouping.TEACHER]
    labels = grouping.Labels.of(kept)
    sides = grouping.grouped(kept, lambda r: identity(r.cell, ("seed", "precision")))
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
                [
                    section,
                    label,
                    narrow[0].backend,
                    precision,
                    str(apart.seeds),
                    f"{apart.mean:+.4f}",
                    apart.interval,
                    apart.seed_counts,
                    f"{times[0]:.3g}",
                    f"{times[1]:.3g}",
                ]
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
    names = [
        "cell",
        "method",
        "backend",
        "precision",
        "seeds",
        "difference",
        f"{CONFIDENCE:.0%} interval",
        "+ / = / −",
        "step ms, float32",
        "step ms",
    ]
    note = (
        f"{metric} in this precision minus in float32, paired by seed, positive is better; the same teacher, trained in "
        "float32. Intervals are paired t's and not corrected for the number of rows."
    )
    return Table("Mixed precision", pandas.DataFrame(shown, columns=names), note, pandas.DataFrame(data))
