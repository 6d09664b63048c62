"""Methods against a baseline method, seed by seed: differences, intervals, corrected p-values, wins, time and memory."""

import dataclasses
import math
import statistics

import pandas

from results import grouping
from results.figures.style import backend_order, mean_and_error
from results.metrics import higher_is_better
from results.records.record import Record
from results.tables.table import Table

CONFIDENCE = 0.95
# a corrected p-value below this is a win or a loss
LEVEL = 0.05
# with fewer seeds one deviating seed decides; the tables say so
FEW_SEEDS = 5

_USUAL = ("kd", "sft")
_COSTS = {"time/step_ms": "step ms", "time/total_s": "total s", "memory/peak_mb": "peak MB"}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One method minus the baseline method, over the seeds that both have; positive is better.

    Attributes:
        mean: of the seeds' differences.
        low, high: interval of the mean (paired t); nan with fewer than two seeds.
        p: two-sided; nan with fewer than two seeds, 1 where no seed differs.
        better, tied, worse: how many seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    tied: int
    worse: int

    @property
    def seeds(self) -> int:
        """How many seeds both have."""
        return self.better + self.tied + self.worse


def difference(method: dict[int, float], baseline: dict[int, float], sign: float = 1.0) -> Difference | None:
    """Compare two methods on the seeds that both have.

    Args:
        method, baseline: seed to figure.
        sign: 1 where larger is better, -1 where smaller is.

    Returns:
        The difference, or None where they share no seed.
    """
    from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import

    values = [sign * (method[seed] - baseline[seed]) for seed in sorted(method.keys() & baseline.keys())]
    if not values:
        return None
    signs = [sum(v > 0 for v in values), sum(v == 0 for v in values), sum(v < 0 for v in values)]
    mean, error = mean_and_error(values)
    if len(values) < 2:
        return Difference(mean, math.nan, math.nan, math.nan, *signs)
    if error == 0:  # every seed differs by the same amount: no scatter to test against, but signs
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 2.0 ** (1 - len(values)), *signs)
    freedom = len(values) - 1
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Difference(mean, mean - half, mean + half, float(2 * stdtr(freedom, -abs(mean) / error)), *signs)


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction: p-values of which all may be read together; nan stays nan and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[place] = largest
    return corrected


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
    """For each pair, data set, scale and dtype every method against the baseline; and wins and losses over all of them.

    Args:
        records: the newest record of each cell.
        metric: what is compared.
        baseline: a method ("kd"), or a row of the table of methods ("kd temperature=4.0"); None takes the first of kd,
            sft that there is, and leaves out sections with neither.

    Raises:
        ValueError: `baseline` is the method of no student, or names several rows of a section.
    """
    found, everything, known = [], [], set()
    for title, section in grouping.sections(records).items():
        students = [r for r in section if r.cell.get("method") != grouping.TEACHER]
        labels, columns = grouping.row_labels(students), grouping.columns(students)
        known.update(labels.values())
        chosen = _baseline(students, labels, baseline)
        if chosen is None:
            continue
        cells = grouping.grouped(students, lambda r, a=labels, b=columns: (a[id(r)], b[id(r)]))
        rows = _rows(title, cells, grouping.row_order(students, labels), chosen, metric)
        everything += [row for row in rows if row.method != chosen]
        found.append(_table(f"Against {chosen}: {title}", rows, metric))
    if baseline is not None and not found and known:
        raise ValueError(f"--baseline {baseline!r}: no student was trained with it; there are {', '.join(sorted(known))}.")
    if everything:
        found.append(_wins(everything, metric))
    return found


def _baseline(students: list[Record], labels: dict[int, str], wanted: str | None) -> str | None:
    """The label of the section's baseline."""
    for method in _USUAL if wanted is None else (wanted,):
        of_method = dict.fromkeys(labels[id(r)] for r in students if r.cell.get("method") == method)
        if wanted in labels.values():
            return wanted
        if len(of_method) > 1 and wanted is not None:
            raise ValueError(f"--baseline {wanted!r} names several rows; choose one: {', '.join(of_method)}.")
        if of_method:
            counts = {label: sum(labels[id(r)] == label for r in students) for label in of_method}
            return max(counts, key=counts.__getitem__)
    return None


def _rows(title: str, cells: dict[tuple[str, str], list[Record]], methods: list[str], chosen: str, metric: str) -> list[_Row]:
    sign = 1.0 if higher_is_better(metric) else -1.0
    rows = []
    for method in methods:
        for column in backend_order({place[1] for place in cells}):
            group = cells.get((method, column))
            if group is None:
                continue
            other = cells.get((chosen, column), []) if method != chosen else []
            rows.append(
                _Row(
                    title,
                    method,
                    column,
                    group,
                    difference(grouping.by_seed(group, metric), grouping.by_seed(other, metric), sign),
                )
            )
    for row, p in zip(rows, holm([r.difference.p if r.difference else math.nan for r in rows]), strict=True):
        row.p = p
    return rows


def _table(title: str, rows: list[_Row], metric: str) -> Table:
    shown, data = [], []
    for row in rows:
        found, values = row.difference, grouping.finite(row.group, metric)
        costs = {name: _cost(row.group, name) for name in _COSTS}
        texts = ["—"] * 5
        if found is not None:
            interval = "—" if math.isnan(found.low) else f"{found.low:+.4f} to {found.high:+.4f}"
            texts = [
                f"{found.mean:+.4f}",
                interval,
                p_text(found.p),
                p_text(row.p),
                f"{found.better} / {found.tied} / {found.worse}",
            ]
        mean = grouping.mean_text(values, row.group)
        shown.append([row.method, row.column, mean, *texts, *(_cost_text(cost) for cost in costs.values())])
        numbers = dataclasses.asdict(found) if found else {}
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
            }
        )
    names = ["method", "backend", metric, "difference", f"{CONFIDENCE:.0%} interval", "p", "p (Holm)", "+ / = / −"]
    frame = pandas.DataFrame(shown, columns=[*names, *_COSTS.values()])
    return Table(title, frame, _note(rows), pandas.DataFrame(data))


def _note(rows: list[_Row]) -> str:
    found = [row.difference for row in rows if row.difference is not None]
    note = (
        "Differences are paired by seed, positive is better; seeds that did not end ok in both are left out. p: paired "
        "t-test; Holm: corrected for all rows of this table. + / = / −: seeds that are better, equal, worse. Times are "
        "medians, memory is the largest."
    )
    halves = [(d.high - d.low) / 2 for d in found if not math.isnan(d.low)]
    if halves:
        half = statistics.median(halves)
        note += f" The interval reaches {half:.4f} to either side (median): smaller differences are noise."
    fewest = min((d.seeds for d in found), default=FEW_SEEDS)
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
    places = len({(row.section, row.column) for row in rows})
    note = (
        f"{metric} against the baseline method, for each data set, pair, scale, dtype and backend ({places} in all): a win "
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
