"""`--update`: the store's figures become the baselines, with a reason, and never a regression without another word."""

import copy
import dataclasses
import datetime
import re
from pathlib import Path

from results import atomic, metrics
from results.gate import coverage, judge
from results.gate.baselines import CONFIDENCE, FOLDER, SUITES, Baseline, BaselineError, Entry, path_of, read, read_all
from results.grouping import grouped
from results.records.record import Record, cell_title

# differences that are printed of one file; all are in the files
_MOST_LINES = 20


def update(
    records: list[Record],
    reason: str,
    commit: str = "",
    folder: Path = FOLDER,
    replace: bool = False,
    accept_regression: bool = False,
) -> list[str]:
    """Rewrite the files of the suites and backends that the records come from, and the list of what must be covered.

    Args:
        records: finished cells.
        reason: why the recorded figures change; kept in the file.
        commit: the commit that the figures come from.
        folder: where the files lie.
        replace: drop entries for which there is no record, instead of keeping them.
        accept_regression: record figures that the gate would call regressed or collapsed, and measure from them from now on.

    Returns:
        For each file written a line, and one for each cell whose figures changed.

    Raises:
        BaselineError: no reason, no records, a record that is no baseline, or a regression that is not accepted.
    """
    if len(re.findall(r"\w", reason)) < 8:
        raise BaselineError(f"--reason {reason!r}: --update needs a reason in words, which is kept in the baselines file.")
    groups = grouped([r for r in records if r.suite in SUITES], lambda record: (record.suite, record.backend))
    if not groups:
        raise BaselineError(f"No records of {', '.join(SUITES)} to make baselines of; run the suites first (`nox -s torch`).")
    written, now = [], []
    for (suite, backend), group in groups.items():
        path = path_of(suite, backend, folder)
        before = read(path) if path.is_file() else Baseline(suite, backend)
        worse = regressions(before, group)
        if worse and not accept_regression:
            raise BaselineError(
                f"{len(worse)} figures of {suite} {backend} are worse than the recorded ones, and no baseline is made of that "
                "without another word. Mend the code, or say --accept-regression beside a reason that names the loss:\n  "
                + "\n  ".join(f"{v.verdict}: {v.cell} {v.metric} {v.figure}, {v.reason}" for v in worse[:_MOST_LINES])
            )
        after = _taken(before, group, replace, {(verdict.cell, verdict.metric) for verdict in worse})
        note = {"accepted": f"{len(worse)} figures worse than the recorded ones"} if worse else {}
        after.history = [
            *before.history,
            {"date": datetime.date.today().isoformat(), "commit": commit, "reason": reason} | note,
        ]
        now.append(after)
        lines = [f"{path}: {len(group)} cells recorded, {len(after.entries)} entries", *differences(before, after)]
        written.append((path, after.to_json(), lines))
    written.append((folder / coverage.NAME, coverage.to_json(_covered(now, folder, replace)), []))
    for path, text, _ in written:  # only now: a refused record above leaves every file as it was
        atomic.write(path, text)
    return [line for _, _, lines in written for line in lines]


def regressions(before: Baseline, records: list[Record]) -> list[judge.Verdict]:
    """Which figures the gate would call regressed or collapsed, of the cells and seeds that are recorded and have a record."""
    have = grouped(records, lambda record: before.identity(record.cell))
    shared = copy.deepcopy(before)
    shared.entries = [entry for entry in shared.entries if before.identity(entry.cell) in have]
    if before.by_seed:
        for entry in shared.entries:
            ran = {str(record.cell.get("seed")) for record in have[before.identity(entry.cell)]}
            entry.metrics = {
                metric: {seed: figure for seed, figure in by_seed.items() if seed in ran}
                for metric, by_seed in entry.metrics.items()
            }
    return [v for v in judge.judge(records, [shared]) if v.verdict in (judge.REGRESSED, judge.COLLAPSED)]


def differences(before: Baseline, after: Baseline) -> list[str]:
    """A line for each metric of a cell that was recorded and now is otherwise, and for each entry that is gone."""
    earlier = {before.identity(entry.cell): entry for entry in before.entries}
    lines = []
    for entry in after.entries:
        old = earlier.pop(after.identity(entry.cell), None)
        for metric in entry.metrics if old else ():
            if metric in old.metrics and entry.metrics[metric] != old.metrics[metric]:
                was, now, first = (
                    _mean(figures) for figures in (old.metrics[metric], entry.metrics[metric], entry.first_of(metric))
                )
                by = metrics.find(metric).sign * (was - now)
                lines.append(
                    f"  {_title(after, entry)} {metric}: {was:.4g} → {now:.4g} (worse by {by:+.2g}; first {first:.4g})"
                )
    more = [f"  and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return [*lines[:_MOST_LINES], *more, *(f"  {_title(after, entry)}: dropped" for entry in earlier.values())]


def _taken(before: Baseline, records: list[Record], replace: bool, worse: set[tuple[str, str]]) -> Baseline:
    """The baseline with the figures of the records; where a regression was accepted, they are the first from now on."""
    after = dataclasses.replace(copy.deepcopy(before), margins=metrics.margins(), confidence=CONFIDENCE)
    after.take(records)
    for entry in after.entries:
        entry.first = {m: figures for m, figures in entry.first.items() if (_title(after, entry), m) not in worse}
    if replace:
        there = grouped(records, lambda record: after.identity(record.cell))
        after.entries = [entry for entry in after.entries if after.identity(entry.cell) in there]
        for entry in after.entries if after.by_seed else ():
            ran = {str(record.cell["seed"]) for record in there[after.identity(entry.cell)]}
            for holder in (entry.metrics, entry.first):
                for metric, by_seed in holder.items():
                    holder[metric] = {seed: figure for seed, figure in by_seed.items() if seed in ran}
            entry.first = {metric: by_seed for metric, by_seed in entry.first.items() if by_seed}
    return after


def _covered(now: list[Baseline], folder: Path, replace: bool) -> list[coverage.Covered]:
    """What must be covered from now on: what had to be, and what is recorded; files that are replaced speak for themselves."""
    there = (folder / coverage.NAME).is_file()
    before = coverage.read(folder) if there else coverage.of(read_all(folder))
    if replace:
        files = {(baseline.suite, baseline.backend) for baseline in now}
        before = [row for row in before if (row.suite, row.backend) not in files]
    return coverage.united(before, coverage.of(now))


def _title(baseline: Baseline, entry: Entry) -> str:
    return cell_title(baseline.suite, baseline.backend, entry.cell)


def _mean(figures: float | dict[str, float]) -> float:
    return sum(figures.values()) / len(figures) if isinstance(figures, dict) else figures
