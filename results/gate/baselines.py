"""The committed figures that the gate holds records against: one file `<suite>-<backend>.json`.

Agreement files hold the recorded errors of each cell; distillation files the metrics of each seed, with the margin and
the confidence of the test; loss files, where someone asked for them, times relative to the framework's own loss. They
are written by `python -m results gate --update --reason "…"` only, and every writing leaves its reason, date and commit
in the file's history.
"""

import dataclasses
import datetime
import json
import math
import re
from pathlib import Path
from typing import Any

from results import atomic, metrics
from results.places import CLONE
from results.records.record import Record, identity
from results.tables import yardstick

SCHEMA_VERSION = 1
FOLDER = CLONE / "results" / "baselines"

# how sure the gate has to be that a metric is worse than its margin allows (`results.metrics`)
CONFIDENCE = 0.95
# the gated metrics of suites whose files are not by seed
_METRICS = {"agreement": ("agreement/value_error", "agreement/gradient_error"), "loss": (yardstick.METRIC,)}
# the suites that have baselines
SUITES = (*_METRICS, "distill")


class BaselineError(ValueError):
    """A baselines file cannot be used, or an update was refused; the message says why and what to do."""


@dataclasses.dataclass
class Entry:
    """One cell (without its seed where the file is by seed) and its recorded metrics.

    `metrics` is {metric: value}, or by seed {metric: {seed: value}}.
    """

    cell: dict[str, Any]
    metrics: dict[str, Any]


@dataclasses.dataclass
class Baseline:
    """One file.

    Attributes:
        suite, backend: whose cells.
        entries: the cells.
        margins: by metric, how much worse is still no regression (files by seed).
        confidence: of the one-sided test (files by seed).
        machine: what the times were measured on (files of the loss suite).
        history: {date, commit, reason} of every update, the latest last.
    """

    suite: str
    backend: str
    entries: list[Entry] = dataclasses.field(default_factory=list)
    margins: dict[str, float] = dataclasses.field(default_factory=metrics.margins)
    confidence: float = CONFIDENCE
    machine: str = ""
    history: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def by_seed(self) -> bool:
        """Whether the entries hold a figure for each seed."""
        return self.suite == "distill"

    def gated(self, record: Record) -> list[str]:
        """The metrics of a record that baselines hold: of a training those with a margin that its task measures."""
        if not self.by_seed:
            return list(_METRICS[self.suite])
        with_margin = metrics.margins()
        return [name for name in with_margin if name in record.metrics] or list(with_margin)

    def identity(self, cell: dict[str, Any]) -> str:
        """What makes two cells the same entry."""
        return identity(cell, without=("seed", "backend") if self.by_seed else ("backend",))

    def take(self, records: list[Record]) -> int:
        """Put the figures of finished records in place of the recorded ones; entries without a record stay.

        Returns:
            How many cells (and seeds) were written.

        Raises:
            BaselineError: a record that did not end ok, or whose figure is not finite: no baseline is made of that.
        """
        yardsticks = yardstick.Yardsticks(records)
        if self.suite == "loss":
            records = [record for record in records if not yardstick.is_yardstick(record)]
            self.machine = yardstick.machine(records[-1]) if records else self.machine
        bad = [f"{r.title}: {r.status} {r.message}".strip() for r in records if r.status != "ok"]
        if bad:
            raise BaselineError(
                f"{len(bad)} of the {self.suite} cells of {self.backend} did not end ok; baselines are made of finished "
                "cells only. Run them again, or leave them out with --where:\n  " + "\n  ".join(bad[:10])
            )
        index = {self.identity(entry.cell): entry for entry in self.entries}
        for record in records:
            cell = {n: v for n, v in record.cell.items() if n != "seed" or not self.by_seed}
            entry = index.setdefault(self.identity(record.cell), Entry(cell, {}))
            ratio = yardsticks.ratio(record)
            figures = record.metrics if ratio is None else record.metrics | {yardstick.METRIC: ratio.value}
            for metric in self.gated(record):
                value = figures.get(metric, math.nan)
                if not math.isfinite(value):
                    raise BaselineError(f"{record.title}: {metric} is {value}; a baseline holds finite figures only.")
                if self.by_seed:
                    entry.metrics.setdefault(metric, {})[str(record.cell["seed"])] = value
                else:
                    entry.metrics[metric] = value
        self.entries = list(index.values())
        return len(records)

    def to_json(self) -> str:
        """The file's text: a line an entry, sorted, so that a difference between versions reads well."""
        head = {"schema": SCHEMA_VERSION, "suite": self.suite, "backend": self.backend, "history": self.history}
        if self.by_seed:
            head |= {"margins": self.margins, "confidence": self.confidence}
        if self.machine:
            head |= {"machine": self.machine}
        ordered = sorted(self.entries, key=lambda entry: self.identity(entry.cell))
        lines = [json.dumps(_rounded(dataclasses.asdict(entry)), sort_keys=True, allow_nan=False) for entry in ordered]
        text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        return text + ',\n "entries": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def path_of(suite: str, backend: str, folder: Path = FOLDER) -> Path:
    """The file of a suite and backend."""
    return folder / f"{suite}-{backend}.json"


def read(path: Path) -> Baseline:
    """A baselines file.

    Raises:
        BaselineError: not JSON, or not of this layout.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["schema"] != SCHEMA_VERSION:
            raise BaselineError(f"{path} has schema {fields['schema']!r}; this version reads {SCHEMA_VERSION}.")
        entries = [Entry(**entry) for entry in fields["entries"]]
        optional = {name: fields[name] for name in ("margins", "confidence", "machine") if name in fields}
        return Baseline(fields["suite"], fields["backend"], entries, history=fields["history"], **optional)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, BaselineError):
            raise
        raise BaselineError(f"{path} is no baselines file ({type(error).__name__}: {error}).") from error


def read_all(folder: Path = FOLDER) -> list[Baseline]:
    """Every baselines file of a folder."""
    return [read(path) for path in sorted(folder.glob("*-*.json"))]


def update(records: list[Record], reason: str, commit: str = "", folder: Path = FOLDER, replace: bool = False) -> list[str]:
    """Rewrite the files of the suites and backends that the records come from, with today's margins and confidence.

    Args:
        records: finished cells.
        reason: why the recorded figures change; kept in the file.
        commit: the commit that the figures come from.
        folder: where the files lie.
        replace: drop entries for which there is no record, instead of keeping them.

    Returns:
        A line for each file written.

    Raises:
        BaselineError: no reason, no records, or a record that is no baseline.
    """
    if len(re.findall(r"\w", reason)) < 8:
        raise BaselineError(f"--reason {reason!r}: --update needs a reason in words, which is kept in the baselines file.")
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.suite in SUITES:
            groups.setdefault((record.suite, record.backend), []).append(record)
    if not groups:
        raise BaselineError(f"No records of {', '.join(SUITES)} to make baselines of; run the suites first (`nox -s torch`).")
    written = []
    for (suite, backend), group in groups.items():
        path = path_of(suite, backend, folder)
        baseline = read(path) if path.is_file() else Baseline(suite, backend)
        if replace:
            baseline.entries = []
        count = baseline.take(group)
        baseline.margins, baseline.confidence = baseline.margins | metrics.margins(), CONFIDENCE
        baseline.history.append({"date": datetime.date.today().isoformat(), "commit": commit, "reason": reason})
        written.append((path, baseline.to_json(), f"{path}: {count} cells recorded, {len(baseline.entries)} entries"))
    for path, text, _ in written:  # only now: a refused record above leaves every file as it was
        atomic.write(path, text)
    return [line for _, _, line in written]


def _rounded(value: Any) -> Any:
    """Figures to six digits: more would change with every machine and say nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return value
