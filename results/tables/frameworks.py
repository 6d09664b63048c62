"""The same cells in several frameworks: final figures side by side, and their differences seed by seed.

A difference between frameworks means something only beside what each framework's own runs differ by. Two spreads are
shown: over seeds (other initial weights and batches), and of one seed (the same training again with the rows of each batch
in another order, `--repeats`: the same mathematics, rounded otherwise).
"""

import dataclasses
import functools
import math
import statistics
from itertools import combinations

import numpy as np
import pandas

from results import grouping, metrics
from results.grouping import Comparable, Labels
from results.records.record import Record
from results.significance.differences import CONFIDENCE, LEVEL, Difference, difference, holm
from results.significance.means import mean_and_error
from results.tables.table import Table

_ACROSS = ("backend", "device", "repeat")


@dataclasses.dataclass(frozen=True)
class Side:
    """One framework's runs of a cell.

    Attributes:
        name: the framework, with the device where it ran on several.
        runs: seed to its records: at first the training itself, then its repeats.
    """

    name: str
    runs: dict[int, list[Record]]
    # asked for many times by one table; read off the records once
    _by_seed: dict[str, dict[int, float]] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def by_seed(self, metric: str) -> dict[int, float]:
        """Seed to the figure of the training itself; those that did not end ok are left out."""
        if metric not in self._by_seed:
            trainings = (r for records in self.runs.values() for r in records if not r.cell.get("repeat"))
            self._by_seed[metric] = grouping.by_seed(trainings, metric)
        return self._by_seed[metric]

    def over_seeds(self, metric: str) -> float:
        """Standard deviation over seeds; nan with fewer than two."""
        values = list(self.by_seed(metric).values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def of_one_seed(self, metric: str) -> float:
        """Standard deviation of runs of the same seed, pooled over seeds; nan without repeats."""
        groups = [grouping.finite(records, metric) for records in self.runs.values()]
        groups = [values for values in groups if len(values) > 1]
        freedom = sum(len(values) - 1 for values in groups)
        return math.sqrt(sum(statistics.variance(v) * (len(v) - 1) for v in groups) / freedom) if freedom else math.nan


@dataclasses.dataclass(frozen=True)
class Compared:
    """A cell that several frameworks have run.

    Attributes:
        section: pair, data set, scale and dtype.
        label: the method with what tells it from others of the section.
        teacher: "none" for students of labels only, "shared" where all learnt from the same weights, else "own".
        sides: by framework, in the order of all tables.
    """

    section: str
    label: str
    teacher: str
    sides: tuple[Side, ...]

    @property
    def pairs(self) -> list[tuple[Side, Side]]:
        """Every two frameworks."""
        return list(combinations(self.sides, 2))


def compared(records: list[Record]) -> list[Compared]:
    """Every student's cell, its seeds taken together, that at least two frameworks (or devices) have run.

    Args:
        records: the newest record of each cell, repeats among them.
    """
    comparable = Comparable.of(records)

    def training(record: Record) -> tuple[str, str, int]:
        """What a training and its repeats share."""
        return comparable.titles[id(record)], comparable.cell_of(record, ("repeat",)), record.cell["seed"]

    repeats = grouping.grouped([r for r in comparable if r.cell.get("repeat")], training)
    return [
        cell
        for section, students in grouping.alike(comparable).items()
        for cell in _compared_in(
            section, students, comparable, {id(r): repeats.get(training(r), []) if repeats else [] for r in students}
        )
    ]


def _compared_in(
    section: str, students: list[Record], comparable: Comparable, repeats: dict[int, list[Record]]
) -> list[Compared]:
    """The cells of one section, in the order of its rows; `repeats` are those of each training, by its `id`."""
    labels = Labels.of(students)
    by_row: dict[str, list[Compared]] = {row: [] for row in labels.rows(students)}
    for group in grouping.grouped(students, lambda record: comparable.cell_of(record, _ACROSS)).values():
        group = comparable.of_one_code(group)
        sides = tuple(
            Side(name, {r.cell.get("seed"): [r, *repeats[id(r)]] for r in trainings})
            for name, trainings in labels.by_column(group).items()
        )
        if len(sides) > 1:
            row = labels.row(group[0])
            by_row[row].append(Compared(section, row, _teacher(group[0]), sides))
    return [cell for cells in by_row.values() for cell in cells]


def _teacher(record: Record) -> str:
    if record.cell.get("method") == "sft":
        return "none"
    return "own" if record.cell.get("teacher_weights") is None else "shared"


@dataclasses.dataclass
class _Row:
    cell: Compared
    metric: str
    first: Side
    second: Side
    difference: Difference
    p: float = math.nan  # corrected

    @functools.cached_property
    def spread(self) -> float:
        """Standard deviation over seeds within the two frameworks, pooled."""
        sides = (self.first, self.second)
        freedom = sum(len(side.by_seed(self.metric)) - 1 for side in sides)
        squares = ((len(side.by_seed(self.metric)) - 1) * side.over_seeds(self.metric) ** 2 for side in sides)
        return math.sqrt(math.fsum(squares) / freedom)

    @property
    def verdict(self) -> str:
        if math.isnan(self.difference.low):
            return "open: one seed"
        within = max(abs(self.difference.low), abs(self.difference.high)) <= self.spread
        if self.p < LEVEL:
            return "**differs**, by less than the spread" if within else "**differs**"
        return "within the spread" if within else f"open: {self.difference.seeds} seeds are few"


def tables(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """For each pair, data set, scale and dtype the final figures of every two frameworks; empty where there is only one.

    Args:
        records: the newest record of each cell.
        metric: compared beside those that the run table of the trainings shows of their test.
    """
    sections = []
    cells = compared(records)
    names = dict.fromkeys((metric, *(name for name in metrics.columns("distill") if name.startswith("test/"))))
    for section in dict.fromkeys(cell.section for cell in cells):
        rows = [
            _Row(cell, name, first, second, apart)
            for cell in cells
            if cell.section == section
            for name in names
            for first, second in cell.pairs
            if (apart := difference(first.by_seed(name), second.by_seed(name))) is not None
        ]
        for row, p in zip(rows, holm([row.difference.p for row in rows]), strict=True):
            row.p = p
        if rows:
            sections.append(_table(section, rows))
    return sections


def _table(section: str, rows: list[_Row]) -> Table:
    shown, data = [], []
    for row in rows:
        apart = row.difference
        seeds = row.first.by_seed(row.metric).keys() & row.second.by_seed(row.metric).keys()
        means = [math.fsum(side.by_seed(row.metric)[seed] for seed in seeds) / len(seeds) for side in (row.first, row.second)]
        over_seeds = [side.over_seeds(row.metric) for side in (row.first, row.second)]
        of_one = [side.of_one_seed(row.metric) for side in (row.first, row.second)]
        between = _between(row)
        shown.append(
            {
                "method": row.cell.label,
                "metric": row.metric,
                "frameworks": f"{row.first.name} − {row.second.name}",
                "seeds": str(apart.seeds),
                "means": f"{means[0]:.4f} − {means[1]:.4f}",
                "difference": f"{apart.mean:+.4f}",
                f"{CONFIDENCE:.0%} interval": apart.interval,
                "spread over seeds": _both(over_seeds),
                "apart, one seed": f"{between:.4f}",
                "spread of one seed": _both(of_one),
                "verdict": row.verdict,
            }
        )
        data.append(
            {
                "section": section,
                "method": row.cell.label,
                "metric": row.metric,
                "teacher": row.cell.teacher,
                "first": row.first.name,
                "second": row.second.name,
                "seeds": apart.seeds,
                "mean_first": means[0],
                "mean_second": means[1],
                "difference": apart.mean,
                "low": apart.low,
                "high": apart.high,
                "p": apart.p,
                "p_holm": row.p,
                "over_seeds_first": over_seeds[0],
                "over_seeds_second": over_seeds[1],
                "between_one_seed": between,
                "of_one_seed_first": of_one[0],
                "of_one_seed_second": of_one[1],
                "verdict": row.verdict.replace("**", ""),
            }
        )
    return Table(f"Frameworks: {section}", pandas.DataFrame(shown), _note(rows), pandas.DataFrame(data))


def _between(row: _Row) -> float:
    """How far runs of one seed in two frameworks lie apart, as a standard deviation: root mean square / √2."""
    first, second = row.first.by_seed(row.metric), row.second.by_seed(row.metric)
    squares = [(first[seed] - second[seed]) ** 2 / 2 for seed in first.keys() & second.keys()]
    return math.sqrt(math.fsum(squares) / len(squares))


def _both(values: list[float]) -> str:
    texts = ["—" if math.isnan(value) else f"{value:.4f}" for value in values]
    return "—" if texts == ["—", "—"] else " / ".join(texts)


def _note(rows: list[_Row]) -> str:
    note = (
        "The same cell in two frameworks: same initial weights and batches, differences paired by seed with their paired-t "
        "interval. Spread over seeds: standard deviation within each framework. Apart, one seed: root mean square of the "
        "seeds' differences / √2, to be compared with the spread of one seed, the standard deviation of each framework's "
        "own runs of the same seed with the rows of each batch in another order (`--repeats 1` makes them). Within the "
        "spread: the whole interval is smaller than the spread over seeds, pooled over both. Differs: p < "
        f"{LEVEL:g}, paired t, Holm's correction over this table."
    )
    if any(row.cell.teacher == "own" for row in rows):
        note += (
            " Each framework's students learnt from a teacher that it trained itself, one for all seeds: that teachers "
            "differ is part of these differences, and no number of seeds averages it out. `--teacher-of torch` gives all "
            "frameworks the same one."
        )
    return note


def mean_text(side: Side, metric: str) -> str:
    """`torch 0.9551 ± 0.0028` for a legend."""
    values = list(side.by_seed(metric).values())
    if not values:
        return f"{side.name} —"
    mean, error = mean_and_error(values)
    return f"{side.name} {mean:.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")
