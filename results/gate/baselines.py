"""The committed figures that the gate holds records against: one file `<suite>-<backend>.json`.

Agreement files hold the recorded errors of each cell; distillation files the metrics of each seed; loss files, where
someone asked for them, times relative to the framework's own loss. Each entry keeps the figures that were recorded first
beside the latest ones, so that no row of small losses is taken in unseen. Files are written by `results.gate.update` only,
and every writing leaves its reason, date and commit in the file's history. Margin and confidence stand in them for the
reader: they come from the code, and a file that says otherwise is refused, as are figures that a metric cannot have.
"""

import copy
import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results import metrics
from results.escaping import shortened
from results.gate import promises
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
# the largest figure that a float holds; an integer of a record may be larger
MOST = sys.float_info.max


class BaselineError(ValueError):
    """A baselines file cannot be used, or an update was refused; the message says why and what to do."""


@dataclasses.dataclass
class Entry:
    """One cell (without its seed where the file is by seed) and its recorded metrics.

    `metrics` is {metric: value}, or by seed {metric: {seed: value}}; `first` likewise, of what was recorded first where that
    is not the same.
    """

    cell: dict[str, Any]
    metrics: dict[str, Any]
    first: dict[str, Any] = dataclasses.field(default_factory=dict)

    def first_of(self, metric: str) -> Any:
        """What was recorded of a metric first: a value, or by seed."""
        if isinstance(self.metrics[metric], dict):
            return self.metrics[metric] | self.first.get(metric, {})
        return self.first.get(metric, self.metrics[metric])

    def figures(self) -> Iterator[tuple[str, Any]]:
        """(metric, value) of all that is recorded."""
        for metric, value in (*self.metrics.items(), *self.first.items()):
            for figure in value.values() if isinstance(value, dict) else (value,):
                yield metric, figure


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

        Args:
            records: of the suite and backend.

        Returns:
            How many cells (and seeds) were written.

        Raises:
            BaselineError: a record that did not end ok, or whose figure no metric can have or breaks what README promises: no
                baseline is made of that.
        """
        yardsticks = yardstick.Yardsticks(records)
        if self.suite == "loss":
            records = [record for record in records if not yardstick.is_yardstick(record)]
            self.machine = yardstick.machine(records[-1]) if records else self.machine
        bad = [f"{r.title}: {r.status} {r.message}".strip() for r in records if r.status != "ok"]
        if bad:
            raise BaselineError(
                f"{len(bad)} of the {self.suite} cells of {self.backend} did not end ok; baselines are made of finished "
                "cells only. Run them again, or leave them out with --where:\n  " + "\n  ".join(map(shortened, bad[:10]))
            )
        index = {self.identity(entry.cell): entry for entry in self.entries}
        for record in records:
            cell = {n: v for n, v in record.cell.items() if n != "seed" or not self.by_seed}
            entry = index.setdefault(self.identity(record.cell), Entry(cell, {}))
            ratio = yardsticks.ratio(record)
            figures = record.metrics if ratio is None else record.metrics | {yardstick.METRIC: ratio.value}
            for metric in self.gated(record):
                value = _usable(record, metric, figures.get(metric, math.nan))
                self._put(entry, record, metric, _rounded(float(value)))
        self.entries = list(index.values())
        return len(records)

    def _put(self, entry: Entry, record: Record, metric: str, value: float) -> None:
        """One figure in its place; the one that stood there goes to the first ones, where there is none yet."""
        if self.by_seed:
            place, first, name = (
                entry.metrics.setdefault(metric, {}),
                entry.first.setdefault(metric, {}),
                str(record.cell["seed"]),
            )
        else:
            place, first, name = entry.metrics, entry.first, metric
        if name in place and value != place[name]:
            first.setdefault(name, place[name])
        place[name] = value
        entry.first = {name: value for name, value in entry.first.items() if value != {}}

    def to_json(self) -> str:
        """The file's text: a line an entry, sorted, so that a difference between versions reads well."""
        head = {"schema": SCHEMA_VERSION, "suite": self.suite, "backend": self.backend, "history": self.history}
        if self.by_seed:
            head |= {"margins": self.margins, "confidence": self.confidence}
        if self.machine:
            head |= {"machine": self.machine}
        ordered = sorted(self.entries, key=lambda entry: self.identity(entry.cell))
        lines = [json.dumps(_rounded(_plain(entry)), sort_keys=True, allow_nan=False) for entry in ordered]
        text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        return text + ',\n "entries": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def path_of(suite: str, backend: str, folder: Path = FOLDER) -> Path:
    """The file of a suite and backend."""
    return folder / f"{suite}-{backend}.json"


def read(path: Path) -> Baseline:
    """A baselines file.

    Raises:
        BaselineError: not JSON, not of this layout, a margin or confidence that is not the code's, a figure that its metric
            cannot have (infinite, negative, an accuracy of 2), or a cell that is listed twice.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["schema"] != SCHEMA_VERSION:
            raise BaselineError(f"{path} has schema {fields['schema']!r}; this version reads {SCHEMA_VERSION}.")
        entries = [Entry(**entry) for entry in fields["entries"]]
        optional = {name: fields[name] for name in ("margins", "confidence", "machine") if name in fields}
        baseline = Baseline(fields["suite"], fields["backend"], entries, history=fields["history"], **optional)
        _check(baseline, path)
        return baseline
    except BaselineError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BaselineError(f"{path} is no baselines file ({type(error).__name__}: {shortened(error)}).") from error


def _check(baseline: Baseline, path: Path) -> None:
    """Refuse what no update would have written."""
    if (path.name, baseline.suite in SUITES) != (path_of(baseline.suite, baseline.backend).name, True):
        raise BaselineError(
            f"{path} says that it is of {baseline.suite} and {baseline.backend}; a file <suite>-<backend>.json holds one of "
            f"the suites {', '.join(SUITES)}. Take the committed file, or write it with --update."
        )
    ours, theirs = metrics.margins() | {"confidence": CONFIDENCE}, baseline.margins | {"confidence": baseline.confidence}
    for name, value in theirs.items():
        if ours.get(name) != value:
            raise BaselineError(
                f"{path} says {name} {value!r}, the code says {ours.get(name)!r}. Margins and confidence come from the code "
                "(results/metrics.py, results/gate/baselines.py); change them there, then write the file with --update."
            )
    known = metrics.margins() if baseline.by_seed else _METRICS[baseline.suite]
    for entry in baseline.entries:
        for metric, value in entry.figures():
            if (
                metric not in known
                or isinstance(value, bool)
                or not (math.isfinite(value) and metrics.find(metric).allows(value))
            ):
                raise BaselineError(
                    f"{path}: {metric} of {baseline.identity(entry.cell)} is {value!r}; allowed are {', '.join(known)}, finite "
                    f"and {metrics.find(metric).range_words}. Take the committed file, or write it with --update."
                )
        for value in (*entry.metrics.values(), *entry.first.values()):
            if isinstance(value, dict) != baseline.by_seed:
                raise BaselineError(f"{path}: {baseline.identity(entry.cell)} must hold its figures as the other entries do.")
    cells = [baseline.identity(entry.cell) for entry in baseline.entries]
    twice = next((cell for cell in cells if cells.count(cell) > 1), None)
    if twice:
        raise BaselineError(f"{path} lists {twice} twice; take one of the two away.")


def read_all(folder: Path = FOLDER) -> list[Baseline]:
    """Every baselines file of a folder."""
    return [read(path) for path in sorted(folder.glob("*-*.json"))]


def _usable(record: Record, metric: str, value: float) -> float:
    """The figure, where a baseline may hold it."""
    row = metrics.find(metric)
    if not abs(value) <= MOST:  # also true of nan
        raise BaselineError(f"{record.title}: {metric} is {shortened(value)}; a baseline holds finite figures only.")
    if not row.allows(value):
        raise BaselineError(f"{record.title}: {metric} is {value}; {row.title} is {row.range_words}.")
    if record.suite == "agreement" and value > promises.promised_error(metric, dtype := str(record.cell.get("dtype"))):
        promised = promises.promised_error(metric, dtype)
        raise BaselineError(
            f"{record.title}: {metric} is {value:.2e}, README promises {promised:.0e}; no baseline is made of that."
        )
    return value


def _plain(entry: Entry) -> dict[str, Any]:
    """The entry for its file; `first` where it says something."""
    return {name: copy.deepcopy(value) for name, value in vars(entry).items() if value or name != "first"}


def _rounded(value: Any) -> Any:
    """Figures to six digits: more would change with every machine and say nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return value
