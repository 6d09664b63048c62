"""Methods against a baseline method, seed by seed: differences, intervals, corrected p-values, wins, time and memory."""

import dataclasses
import math
import statistics
from collections import Counter

import pandas

from results import grouping, metrics
from results.grouping import Labels
from results.records.record import Record
from results.significance.differences import CONFIDENCE, FEW_SEEDS, LEVEL, Difference, difference, holm
from results.significance.means import mean_and_error
from results.tables.table import Table
from results.words import backend_order

_USUAL = ("kd", "sft")
_COSTS = ("time/step_ms", "time/total_s", "memory/peak_mb")


@dataclasses.dataclass
class _Row:
    section: str
    method: str
    column: str
    group: list[Record]
    difference: Difference | None
    p: float = math.nan  # corrected

    @property
    def outcome(self) -> str:
        """`win`, `loss`, `tie`, or `open` where too few seeds leave nothing to test."""
        if self.difference is None or math.isnan(self.p):
            return "open"
        return "tie" if self.p >= LEVEL else "win" if self.difference.mean > 0 else "loss"


def tables(records: list[Record], metric: str = "test/accuracy", baseline: str | None = None) -> list[Table]:
    """For each section and choice of training every method against the baseline; and wins and losses over all of them.

    Args:
        records: the newest record of each cell.
        metric: what is compared.
        baseline: a method ("kd"), or a row of the table of methods ("kd temperature=4.0"); None takes the first of kd,
            sft that there is, and leaves out sections with neither.

    Raises:
        ValueError: `baseline` is the method of no student, or names several rows of a section.
    """
    by_section, others, known = [], [], set()
    for title, students in grouping.alike(records).items():
        labels = Labels.of(students)
        methods = labels.rows(students)
        known.update(methods)
        chosen = _baseline(students, labels, baseline)
        if chosen is None:
            continue
        rows = _rows(title, labels.fill(students), methods, chosen, metric)
        others += [row for row in rows if row.method != chosen]
        by_section.append(_table(f"Against {chosen}: {title}", rows, metric))
    if baseline is not None and not by_section and known:
        raise ValueError(f"--baseline {baseline!r}: no student was trained with it; there are {', '.join(sorted(known))}.")
    return [*by_section, _wins(others, metric)] if others else by_section


def _baseline(students: list[Record], labels: Labels, wanted: str | None) -> str | None:
    """The label of the section's baseline: the row that is wanted, or the one with most records of a usual method."""
    rows = Counter(map(labels.row, students))
    if wanted in rows:
        return wanted
    for method in _USUAL if wanted is None else (wanted,):
        of_method = dict.fromkeys(labels.row(r) for r in students if r.cell.get("method") == method)
        if len(of_method) > 1 and wanted is not None:
            raise ValueError(f"--baseline {wanted!r} names several rows; choose one: {', '.join(of_method)}.")
        if of_method:
            return max(of_method, key=rows.__getitem__)
    return None


def _rows(title: str, cells: dict[tuple[str, str], list[Record]], methods: list[str], chosen: str, metric: str) -> list[_Row]:
    sign = metrics.find(metric).sign
    rows = []
    for method in methods:
        for column in backend_order({column for _, column in cells}):
            group = cells.get((method, column))
            if group is None:
                continue
            other = cells.get((chosen, column), []) if method != chosen else []
            paired = difference(grouping.by_seed(group, metric), grouping.by_seed(other, metric), sign)
            rows.append(_Row(title, method, column, group, paired))
    for row, p in zip(rows, holm([r.difference.p if r.difference else math.nan for r in rows]), strict=True):
        row.p = p
    return rows


def _table(title: str, rows: list[_Row], metric: str) -> Table:
    shown, data = [], []
    for row in rows:
        paired, values = row.difference, grouping.finite(row.group, metric)
        costs = {name: _cost(row.group, name) for name in _COSTS}
        texts = ["—"] * 5
        if paired is not None:
            texts = [f"{paired.mean:+.4f}", paired.interval, p_text(paired.p), p_text(row.p), paired.seed_counts]
        mean = grouping.mean_text(values, row.group)
        shown.append([row.method, row.column, mean, *texts, *(_cost_text(cost) for cost in costs.values())])
        numbers = dataclasses.asdict(paired) if paired else {}
        average = mean_and_error(values) if values else (math.nan, math.nan)
        data.append(
            {
                "section": row.section,
                "method": row.method,
                "column": row.column,
                "metric": metric,
                "mean": average[0],
                "standard_error": average[1],
                "seeds": len(values),
                "difference": numbers.pop("mean", math.nan),
                **numbers,
                "p_holm": row.p,
                "outcome": row.outcome,
                **costs,
                **{name: value for name, value in grouping.numbers(row.group).items() if name not in numbers},
            }
        )
    names = ["method", "backend", metric, "difference", f"{CONFIDENCE:.0%} interval", "p", "p (Holm)", "+ / = / −"]
    frame = pandas.DataFrame(shown, columns=[*names, *(metrics.METRICS[name].heading for name in _COSTS)])
    return Table(title, frame, _note(rows, metric), pandas.DataFrame(data))


def _note(rows: list[_Row], metric: str) -> str:
    paired = [row.difference for row in rows if row.difference is not None]
    positive = "better" if metrics.find(metric).better else "larger"
    note = (
        f"Differences are paired by seed, positive is {positive}; seeds that did not end ok in both are left out. p: paired "
        "t-test; Holm: corrected for all rows of this table. + / = / −: seeds that are better, equal, worse. Times are "
        "medians, memory is the largest."
    )
    halves = [(d.high - d.low) / 2 for d in paired if not math.isnan(d.low)]
    if halves:
        half = statistics.median(halves)
        note += f" The interval reaches {half:.4f} to either side (median): smaller differences are noise."
    fewest = min((d.seeds for d in paired), default=FEW_SEEDS)
    if fewest < 2:
        note += " **One seed says nothing about differences: run at least 5 (`--seeds 5`).**"
    elif fewest < FEW_SEEDS:
        note += f" **{fewest} seeds are few: one deviating seed decides. Run at least {FEW_SEEDS}.**"
    return note


def _wins(rows: list[_Row], metric: str) -> Table:
    """Over all sections and backends: how often each method won, tied and lost."""
    shown = []
    for method in dict.fromkeys(row.method for row in rows):
        group = [row for row in rows if row.method == method and row.difference is not None]
        if not group:
            continue
        counts = [sum(row.outcome == name for row in group) for name in ("win", "tie", "loss", "open")]
        mean = math.fsum(row.difference.mean for row in group) / len(group)
        seeds = [sum(getattr(row.difference, name) for row in group) for name in ("better", "tied", "worse")]
        shown.append([method, *counts, mean, *seeds])
    names = ["method", "wins", "ties", "losses", "open", "mean_difference", "seeds_better", "seeds_tied", "seeds_worse"]
    data = pandas.DataFrame(shown, columns=names)
    frame = pandas.DataFrame(
        [[*map(str, row[:5]), f"{row[5]:+.4f}", " / ".join(map(str, row[6:]))] for row in shown],
        columns=[*names[:5], "mean difference", "seeds + / = / −"],
    )
    columns = len({(row.section, row.column) for row in rows})
    note = (
        f"{metric} against the baseline method, for each data set, pair, scale, dtype and backend ({columns} in all): a win "
        f"or a loss has a corrected p below {LEVEL:g}; open: fewer than two seeds."
    )
    return Table("Wins, ties and losses", frame, note, data)


def _cost(group: list[Record], metric: str) -> float:
    values = grouping.finite(group, metric)
    if not values:
        return math.nan
    return max(values) if metric.startswith("memory/") else statistics.median(values)


def _cost_text(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def p_text(p: float) -> str:
    """A p-value as tables show it."""
    return "—" if math.isnan(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"
