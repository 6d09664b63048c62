"""Students trained in mixed precision beside those of the same seeds trained in float32: accuracy and time of a step."""

import dataclasses
import math
import statistics

import pandas

from results import grouping
from results.metrics import higher_is_better
from results.records.record import Record, identity
from results.tables import paired
from results.tables.table import Table


def table(records: list[Record], metric: str = "test/accuracy") -> Table | None:
    """Every student's cell that was trained in another precision than float32 too; None where there is none.

    Args:
        records: the newest record of each cell.
        metric: what is compared.
    """
    kept = [r for r in records if r.suite == "distill" and grouping.counts(r) and r.cell.get("method") != grouping.TEACHER]
    labels = grouping.row_labels(kept)
    sides = grouping.grouped(kept, lambda r: identity(r.cell, ("seed", "precision")))
    shown, data = [], []
    for group in sides.values():
        usual = [r for r in group if r.cell.get("precision") is None]
        for precision, narrow in grouping.grouped(group, lambda r: r.cell.get("precision")).items():
            found = _difference(usual, narrow, metric) if precision is not None else None
            if found is None:
                continue
            place = grouping.words(narrow[0], "pair", "dataset", "scale", "teacher_weights")
            label = labels[id(narrow[0])]
            times = [statistics.median(grouping.finite(side, "time/step_ms") or [math.nan]) for side in (usual, narrow)]
            interval = "—" if math.isnan(found.low) else f"{found.low:+.4f} to {found.high:+.4f}"
            shown.append(
                [
                    place,
                    label,
                    narrow[0].backend,
                    precision,
                    str(found.seeds),
                    f"{found.mean:+.4f}",
                    interval,
                    f"{found.better} / {found.tied} / {found.worse}",
                    f"{times[0]:.3g}",
                    f"{times[1]:.3g}",
                ]
            )
            data.append(
                {
                    "place": place,
                    "method": label,
                    "backend": narrow[0].backend,
                    "precision": precision,
                    "metric": metric,
                    "seeds": found.seeds,
                    "difference": found.mean,
                    **_numbers(found),
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
        f"{paired.CONFIDENCE:.0%} interval",
        "+ / = / −",
        "step ms, float32",
        "step ms",
    ]
    note = (
        f"{metric} in this precision minus in float32, paired by seed, positive is better; the same teacher, trained in "
        "float32. Intervals are paired t's and not corrected for the number of rows."
    )
    return Table("Mixed precision", pandas.DataFrame(shown, columns=names), note, pandas.DataFrame(data))


def _difference(usual: list[Record], narrow: list[Record], metric: str) -> paired.Difference | None:
    sign = 1.0 if higher_is_better(metric) else -1.0
    return paired.difference(grouping.by_seed(narrow, metric), grouping.by_seed(usual, metric), sign)


def _numbers(found: paired.Difference) -> dict[str, float]:
    return {name: value for name, value in dataclasses.asdict(found).items() if name != "mean"}
