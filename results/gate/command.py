"""`python -m results gate`: what it does with its words (`results.gate.arguments`)."""

import argparse
import sys
from pathlib import Path

from results import selection
from results.escaping import lines
from results.gate import baselines, coverage, judge, present, verdicts
from results.gate.baselines import Baseline
from results.grouping import counts
from results.records.record import Record

Where = dict[str, set[str]]


def simulate(parsed: argparse.Namespace, where: Where) -> int:
    """Print how often the test of accuracy is wrong."""
    from results.gate import simulation

    files = _selected(baselines.read_all(_folder(parsed)), where)
    for entry in (entry for file in files if file.by_seed for entry in file.entries):
        entry.metrics = {m: dict(list(by_seed.items())[: parsed.seeds]) for m, by_seed in entry.metrics.items()}
    print(simulation.table(files).to_markdown())
    return 0


def update(parsed: argparse.Namespace, records: list[Record], commit: str) -> int:
    """Record the store's figures.

    Raises:
        ValueError: a record that is of other code, or no baseline.
    """
    from results.gate import update as updating

    chosen = present.choose(_judged(parsed, records), parsed.accept_other_code)
    current = [r for r in chosen.records if (r.suite, r.backend, r.key) not in chosen.stale]
    if chosen.stale:
        reason = next(iter(chosen.stale.values()))
        raise baselines.BaselineError(
            f"{len(chosen.stale)} of {len(chosen.records)} records are stale, the first {reason}. No baseline is made of "
            "these: run the suites again (`nox -s torch`), or leave them out with --where."
        )
    told = updating.update(current, parsed.reason, commit, _folder(parsed), parsed.replace, parsed.accept_regression)
    print(lines("\n".join(told)))
    return 0


def judged(parsed: argparse.Namespace, records: list[Record], where: Where, described: str) -> int:
    """Hold the records against the baselines, print and write the verdicts.

    Args:
        parsed: the words.
        records: those of the store that the selection allows.
        where: the selection.
        described: the selection in words.

    Returns:
        The exit status.

    Raises:
        ValueError: there are no such baselines, or they cannot be used.
    """
    folder = _folder(parsed)
    files = baselines.read_all(folder)
    covered = [row for row in coverage.read(folder) if selection.matches(row.suite, row.backend, row.cell, _of_cells(where))]
    known = ", ".join(f"{file.suite} {file.backend}" for file in files)
    files = [file for file in _selected(files, where) if parsed.time or file.suite != "loss"]
    if not any(file.entries for file in files) and not covered:
        if parsed.where and known:
            raise ValueError(f"None of the baselines in {folder} is one{described}; they are of {known}.")
        raise ValueError(
            f"No baselines{f' for {parsed.backend}' if parsed.backend else ''} in {folder}. Run the suites, look at "
            '`python -m results compare`, then record them: `python -m results gate --update --reason "…"`.'
        )
    chosen = present.choose(_in(files, _judged(parsed, records)), parsed.accept_other_code)
    if parsed.repeated:
        return _repeated(chosen, files)
    found = judge.judge(
        chosen.records, files, other_seeds=parsed.other_seeds, seeds=parsed.seeds, covered=covered, stale=chosen.stale
    )
    if parsed.time and not any(file.suite == "loss" and file.entries for file in files):
        found.append(
            judge.Verdict("loss", parsed.backend or "all", "times", "—", judge.MISSING, reason="no times are recorded")
        )
    text = verdicts.to_markdown(found, present.describe(chosen.records))
    print(text)
    present_backends = {record.backend for record in records}
    absent = sorted({row.backend for row in covered} - present_backends)
    if absent and present_backends:
        print(lines(f"No records of {', '.join(absent)}: `--backend {','.join(sorted(present_backends))}` leaves them out."))
    if any(verdict.verdict == judge.STALE for verdict in found):
        print("Stale: run the suites again (`nox -s torch`); records of today's code that are finished are not run twice.")
    for trouble in verdicts.write_files(text, verdicts.to_junit(found), parsed.markdown, parsed.junit):
        print(f"warning: {trouble}", file=sys.stderr)
    return 1 if judge.fails(found) else 0


def _repeated(chosen: present.Chosen, files: list[Baseline]) -> int:
    from results.gate import repeated
    from results.tables import table

    current = [r for r in chosen.records if (r.suite, r.backend, r.key) not in chosen.stale]
    runs = repeated.runs(current, files)
    if not runs:
        left_out = f" of today's code ({len(chosen.stale)} records are stale)" if chosen.stale else ""
        raise ValueError(
            f"--repeated: the store holds no complete run of students{left_out}. Run as many other seeds as are recorded, such "
            "as `nox -s torch -- distill --seeds 10:20 --threads 2`."
        )
    print(lines(table.to_markdown(repeated.tables(runs))))
    return 1 if any(judge.fails(run.verdicts) for run in runs) else 0


def _folder(parsed: argparse.Namespace) -> Path:
    return parsed.baselines or baselines.FOLDER


def _judged(parsed: argparse.Namespace, records: list[Record]) -> list[Record]:
    """Those that baselines are made of: traces and repeats are compared between frameworks and with each other instead."""
    suites = [suite for suite in baselines.SUITES if parsed.time or suite != "loss"]
    return [record for record in records if record.suite in suites and counts(record)]


def _in(files: list[Baseline], records: list[Record]) -> list[Record]:
    """The records of files that are judged; yardsticks and cells without a baseline are among them."""
    judged_files = {(file.suite, file.backend) for file in files}
    return [record for record in records if (record.suite, record.backend) in judged_files]


def _of_cells(where: Where) -> Where:
    """The selection without seeds, which are no field of an entry by seed; which of them count is said by --seeds."""
    return {name: values for name, values in where.items() if name.rstrip("!") != "seed"}


def _selected(files: list[Baseline], where: Where) -> list[Baseline]:
    """The baselines with those entries that the selection allows."""
    for file in files:
        fields = _of_cells(where) if file.by_seed else where
        file.entries = [e for e in file.entries if selection.matches(file.suite, file.backend, e.cell, fields)]
    return files
