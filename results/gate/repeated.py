"""The gate on repeated runs of an unchanged program: how often does it call other seeds and thread counts worse?

The other side of `results.gate.simulation`: nothing is simulated. Seeds of the store that the baselines do not hold are
cut into runs of as many seeds as are recorded (10 to 19, 20 to 29, …), and each run is gated as if it were the only one.
"""

import dataclasses
import math

import numpy as np
import pandas

from results import grouping, metrics
from results.gate import judge
from results.gate.baselines import Baseline, Entry
from results.records.record import Record, cell_title
from results.tables.table import Table


@dataclasses.dataclass(frozen=True)
class RepeatedRun:
    """One repeated run of a suite.

    Attributes:
        baseline: what it is held against.
        seeds: which seeds it ran.
        paired: whether they are the recorded ones, which are compared seed with seed.
        records: of these seeds, and of cells with one recorded seed (the teacher).
        verdicts: of the gate.
    """

    baseline: Baseline
    seeds: tuple[int, ...]
    paired: bool
    records: list[Record]
    verdicts: list[judge.Verdict]

    @property
    def threads(self) -> str:
        """Thread counts that the students were trained with."""
        counts = {str(r.environment.get("backend.threads", "?")) for r in self.records if _seed(r) in self.seeds}
        return ", ".join(sorted(counts))


def runs(records: list[Record], baselines: list[Baseline]) -> list[RepeatedRun]:
    """Every complete run that the store holds, the recorded seeds' own (where they are there) first.

    Args:
        records: the newest record of each cell.
        baselines: those of students are looked at.
    """
    return [run for baseline in baselines if baseline.by_seed for run in _of_baseline(records, baseline)]


def _of_baseline(records: list[Record], baseline: Baseline) -> list[RepeatedRun]:
    of_file = [r for r in records if (r.suite, r.backend) == (baseline.suite, baseline.backend)]
    by_cell = grouping.grouped(of_file, lambda r: baseline.identity(r.cell))
    several = {baseline.identity(e.cell): _recorded(e) for e in baseline.entries if len(_recorded(e)) > 1}
    if not several:
        return []
    alone = [r for e in baseline.entries if len(_recorded(e)) == 1 for r in by_cell.get(baseline.identity(e.cell), [])]
    # A run is complete where every cell has the seed, however it ended: a seed that diverged must not hide.
    have = set.intersection(*({_seed(r) for r in by_cell.get(cell, [])} for cell in several))
    recorded = set.union(*several.values())
    size = max(map(len, several.values()))
    blocks = (range(first, first + size) for first in range(0, max(have, default=-1) + 1, size))
    groups = [sorted(recorded)] if recorded <= have else []
    groups += [list(block) for block in blocks if have.issuperset(block) and recorded.isdisjoint(block)]
    complete = []
    for seeds in groups:
        kept = [r for cell in several for r in by_cell.get(cell, []) if _seed(r) in seeds] + alone
        paired = set(seeds) == recorded
        verdicts = judge.judge(kept, [baseline], other_seeds=None if paired else seeds)
        complete.append(RepeatedRun(baseline, tuple(seeds), paired, kept, verdicts))
    return complete


def tables(repeated: list[RepeatedRun]) -> list[Table]:
    """A row for each run with its verdicts, and for each cell how far the means of its runs lie from the recorded one."""
    return [_runs_table(repeated), _spread_table(repeated)]


def _runs_table(repeated: list[RepeatedRun]) -> Table:
    rows = []
    for run in repeated:
        counts = judge.counts(run.verdicts)
        seeds = f"{run.seeds[0]} to {run.seeds[-1]}" + (", paired" if run.paired else "")
        counted = [str(counts[name]) for name in (judge.PASS, judge.AMBIGUOUS, judge.REGRESSED, judge.COLLAPSED, judge.MISSING)]
        rows.append([run.baseline.backend, seeds, run.threads, *counted, "1" if judge.fails(run.verdicts) else "0"])
    alarms = sum(judge.fails(run.verdicts) for run in repeated)
    by_backend = grouping.grouped(repeated, lambda run: run.baseline.backend)
    runs_of = ", ".join(f"{len(group)} of {backend}" for backend, group in by_backend.items())
    note = (
        f"{len(repeated)} runs ({runs_of}), {alarms} false alarms. Paired: the recorded seeds, compared seed with seed; the "
        "others are compared by their means. Exit: the status of the gate."
    )
    names = ["backend", "seeds", "threads", "pass", "ambiguous", "regressed", "collapsed", "missing", "exit"]
    return Table("The gate on repeated runs", pandas.DataFrame(rows, columns=names), note)


def _spread_table(repeated: list[RepeatedRun]) -> Table:
    """Losses of the runs' means against the recorded mean, by cell."""
    rows = []
    for group in grouping.grouped(repeated, lambda run: run.baseline.backend).values():
        baseline = group[0].baseline
        for entry in baseline.entries:
            for metric, by_seed in entry.metrics.items():
                if len(by_seed) > 1:
                    rows.append(_spread(baseline, entry, metric, group))
    note = "Loss: recorded mean minus the mean of a run's seeds, positive is worse."
    return Table("Spread of repeated runs", pandas.DataFrame(rows), note)


def _spread(baseline: Baseline, entry: Entry, metric: str, group: list[RepeatedRun]) -> dict[str, str]:
    cell, sign = baseline.identity(entry.cell), metrics.find(metric).sign
    recorded = float(np.mean(list(entry.metrics[metric].values())))
    losses = []
    for run in group:
        values = grouping.finite([r for r in run.records if baseline.identity(r.cell) == cell], metric)
        if values:
            losses.append(sign * (recorded - float(np.mean(values))))
    deviation = float(np.std(losses, ddof=1)) if len(losses) > 1 else math.nan
    figures = [np.mean(losses), deviation, max(losses)] if losses else [math.nan] * 3
    return {
        "cell": cell_title(baseline.suite, baseline.backend, entry.cell),
        "recorded mean": f"{recorded:.4f}",
        "runs": str(len(losses)),
        "loss, mean": f"{figures[0]:+.4f}",
        "standard deviation": f"{figures[1]:.4f}",
        "largest": f"{figures[2]:+.4f}",
        "margin": f"{baseline.margins[metric]:g}",
    }


def _recorded(entry: Entry) -> set[int]:
    return {int(seed) for by_seed in entry.metrics.values() for seed in by_seed}


def _seed(record: Record) -> int:
    return int(record.cell.get("seed", -1))
