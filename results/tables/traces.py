"""The first training steps of the same cell in two frameworks, compared number by number."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas

from results import grouping
from results.records.record import Record, identity
from results.tables.table import Table
from results.words import backend_order, field_words, method_label

# Largest relative difference of the same 20 training steps in two frameworks on one machine, by dtype.
TRACE_BARS = {"float64": 1e-10, "float32": 1e-5}
EXACT = "float64"
PASS, ROUNDING, FAIL = "pass", "rounding", "**fail**"
# Two errors of one size make up to twice it, and each may be twice what the other framework's happens to be.
ROUNDING_FACTOR = 4


def table(records: list[Record]) -> Table | None:
    """The same training steps in two frameworks: largest relative differences of losses, logits and statistics."""
    comparable = grouping.Comparable.of(records)
    traces = [
        r
        for r in comparable
        if r.suite == "distill" and r.cell.get("scale") == grouping.TRACE_SCALE and _is_trace(r.details.get("trace"))
    ]
    exact = {(_same_steps(r), r.backend): r for r in traces if r.cell.get("dtype") == EXACT}
    rows = []
    for group in grouping.grouped(traces, lambda r: identity(grouping.fields(r), without=("backend", "device"))).values():
        by_backend = {r.backend: r for r in comparable.of_one_code(group)}
        for pair in combinations(backend_order(by_backend), 2):
            both = [by_backend[backend] for backend in pair]
            rows.append(_row(*both, [exact.get((_same_steps(r), r.backend)) for r in both]))
    if not rows:
        return None
    names = ["cell", "frameworks", "losses", "logits", "statistics", "bar", "verdict"]
    note = (
        "Largest relative difference over 20 training steps from the same weights and batches: step losses; logits in "
        "evaluation mode (relative to the largest) and running statistics after the last step."
    )
    if any(row[-1] == ROUNDING for row in rows):
        note += (
            f" {ROUNDING}: above the bar, but within {ROUNDING_FACTOR} times what float32 lies from {EXACT} in each of the "
            f"two, and in {EXACT} they agree: deep networks magnify rounding."
        )
    return Table("Agreement of the frameworks", pandas.DataFrame(rows, columns=names), note)


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """Largest relative differences of two traces (`losses`, `logits`, `statistics`); inf where shapes differ.

    Losses are relative each to its own value; logits and each statistic relative to their largest magnitude.
    """
    names = first["statistics"].keys()
    statistics = [_relative(first["statistics"][n], second["statistics"].get(n, [])) for n in names]
    same = names == second["statistics"].keys()
    return {
        "losses": _relative(first["losses"], second["losses"], each=True),
        "logits": _relative(first["logits"], second["logits"]),
        "statistics": max(statistics, default=0.0) if same else math.inf,
    }


def _is_trace(trace: Any) -> bool:
    return isinstance(trace, dict) and {"losses", "logits"} <= trace.keys() and isinstance(trace.get("statistics"), dict)


def _same_steps(record: Record) -> Any:
    """What a trace shares with those of other frameworks and types."""
    return identity(grouping.fields(record), without=("backend", "device", "dtype"))


def _row(first: Record, second: Record, exact: list[Record | None]) -> list[str]:
    largest = _between(first, second)
    dtype = str(first.cell.get("dtype"))
    bar = TRACE_BARS.get(dtype)
    figures = [f"{value:.1e}" for value in largest.values()]
    if bar is None:
        verdict = "—"
    elif max(largest.values()) <= bar:
        verdict = PASS
    else:
        verdict = ROUNDING if _is_rounding(first, second, exact) else FAIL
    name = f"{method_label(first)} {field_words(first, 'dataset', 'dtype')}"
    return [name, f"{first.backend} / {second.backend}", *figures, "—" if bar is None else f"{bar:.0e}", verdict]


def _between(first: Record, second: Record) -> dict[str, float]:
    return differences(first.details["trace"], second.details["trace"])


def _is_rounding(first: Record, second: Record, exact: list[Record | None]) -> bool:
    """Whether two frameworks agree in float64, and in a narrower type lie as far apart as each lies from its float64."""
    if None in exact or first in exact or max(_between(*exact).values()) > TRACE_BARS[EXACT]:
        return False
    rounding = [_between(record, its_exact) for record, its_exact in zip((first, second), exact, strict=True)]
    return all(
        value <= ROUNDING_FACTOR * min(distances[name] for distances in rounding)
        for name, value in _between(first, second).items()
    )


def _relative(first: Any, second: Any, each: bool = False) -> float:
    try:
        a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    except (TypeError, ValueError):  # written by hand
        return math.inf
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    size = np.maximum(abs(a), abs(b)) if each else np.max([abs(a).max(initial=0), abs(b).max(initial=0)])
    size = np.where(size == 0, 1.0, size)
    return float((abs(a - b) / size).max(initial=0.0))
