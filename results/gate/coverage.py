"""What must be covered: `coverage.json` beside the baselines lists their cells, so that none goes without being missed.

A baseline that is deleted, an entry that is taken away or emptied and a seed that is dropped are each a failure. The list
is written with the baselines (`--update`); only `--replace` takes something off it.
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.escaping import shortened
from results.gate.baselines import FOLDER, SUITES, Baseline, BaselineError
from results.grouping import grouped
from results.records.record import identity
from results.words import backend_order

SCHEMA_VERSION = 1
NAME = "coverage.json"
# Times hang on the machine and are judged on request only, against whatever is recorded.
COVERED = tuple(suite for suite in SUITES if suite != "loss")


@dataclasses.dataclass(frozen=True)
class Covered:
    """A cell of one backend that must be compared.

    Attributes:
        suite, backend, cell: which; neither backend nor seed are in the cell.
        metrics: how many figures must be recorded of each: one, or as many as there are seeds.
    """

    suite: str
    backend: str
    cell: dict[str, Any]
    metrics: dict[str, int]

    @property
    def place(self) -> tuple[str, str, str]:
        """What makes two of them the same."""
        return self.suite, self.backend, identity(self.cell)


def read(folder: Path = FOLDER) -> list[Covered]:
    """The list of a folder.

    Raises:
        BaselineError: there is none, or it cannot be read.
    """
    path = folder / NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["schema"] != SCHEMA_VERSION:
            raise BaselineError(f"{path} has schema {fields['schema']!r}; this version reads {SCHEMA_VERSION}.")
        rows = [
            Covered(row["suite"], backend, dict(row["cell"]), {str(name): int(n) for name, n in row["metrics"].items()})
            for row in fields["cells"]
            for backend in row["backends"]
        ]
        if any(not row.metrics or min(row.metrics.values()) < 1 for row in rows):
            raise BaselineError(f"{path} lists a cell of which nothing is to be compared; take the committed file.")
        return rows
    except BaselineError:
        raise
    except FileNotFoundError:
        raise BaselineError(
            f"{path} is not there, so nothing says what the gate must compare. Take the committed file, or write it with the "
            'baselines: `python -m results gate --update --reason "…"`.'
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BaselineError(f"{path} is no list of what is covered ({type(error).__name__}: {shortened(error)}).") from error


def of(baselines: Iterable[Baseline]) -> list[Covered]:
    """What baselines hold."""
    return [
        Covered(
            baseline.suite,
            baseline.backend,
            {name: value for name, value in entry.cell.items() if name != "backend"},
            {name: len(value) if isinstance(value, dict) else 1 for name, value in entry.metrics.items()},
        )
        for baseline in baselines
        if baseline.suite in COVERED
        for entry in baseline.entries
    ]


def united(before: list[Covered], now: list[Covered]) -> list[Covered]:
    """Both lists; of a cell that is on both the larger number of figures."""
    rows = {row.place: row for row in before}
    for row in now:
        earlier = rows[row.place].metrics if row.place in rows else {}
        most = {name: max(number, earlier.get(name, 0)) for name, number in (earlier | row.metrics).items()}
        rows[row.place] = dataclasses.replace(row, metrics=most)
    return list(rows.values())


def lacking(covered: list[Covered], baselines: Iterable[Baseline]) -> list[tuple[Covered, str, str]]:
    """What the list has and the baselines have not: the row, the metric, and what is wrong."""
    there = {row.place: row.metrics for row in of(baselines)}
    found = []
    for row in covered:
        for metric, number in row.metrics.items():
            recorded = there.get(row.place, {}).get(metric, 0)
            if recorded < number:
                figures = f"{recorded} of {number} figures" if recorded else "no figure"
                found.append((row, metric, f"the baselines hold {figures} of it"))
    return found


def to_json(covered: list[Covered]) -> str:
    """The list's text: a line a cell, sorted, so that a difference between versions reads well."""
    groups = grouped(sorted(covered, key=lambda row: row.place), lambda row: (row.suite, row.place[2], identity(row.metrics)))
    lines = []
    for group in groups.values():
        backends = backend_order({row.backend for row in group})
        row = {"suite": group[0].suite, "backends": backends, "cell": group[0].cell, "metrics": group[0].metrics}
        lines.append(json.dumps(row, sort_keys=True))
    return f'{{\n "schema": {SCHEMA_VERSION},\n "cells": [\n  ' + ",\n  ".join(sorted(lines)) + "\n ]\n}\n"
