"""Tables of what the store holds: methods × backends, agreement of the frameworks, errors, timings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy
import pandas

from results.figures import COLOURS, mean_and_error, method_label
from results.records import Record, identity, newest
from results.tables import Table, grid

TRACE_SCALE = "trace"
TEACHER = "teacher"

# Largest relative difference of the same 20 training steps in two frameworks on one machine, by dtype.
TRACE_BARS = {"float64": 1e-10, "float32": 1e-5}

# Metrics of which more is better; of all others (losses, errors, times, memory) less is.
_HIGHER = ("accuracy", "agreement", "rouge_l", "base", "new", "harmonic_mean", "percent_of_copy")


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of a metric is the better one."""
    return metric.split("/")[-1] in _HIGHER or metric == "test/teacher_agreement"


def tables(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Every table for which there are records.

    Args:
        records: what to compare; of several records of one cell the newest counts.
        metric: the metric of the table of methods.
    """
    records = newest(records)
    found = methods(records, metric)
    for table in (frameworks(records), agreement(records), timings(records)):
        if table is not None:
            found.append(table)
    return found


def methods(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Methods × backends for each pair, dataset, scale and dtype: mean ± standard error over seeds, best in bold."""
    kept = [r for r in records if r.suite == "distill" and r.cell.get("scale") != TRACE_SCALE]
    shared = ("dataset", "scale", "dtype")
    teachers = _grouped([r for r in kept if r.cell.get("method") == TEACHER], lambda r: _words(r, "pair", *shared))
    students = _grouped([r for r in kept if r.cell.get("method") != TEACHER], lambda r: _words(r, "pair", *shared))
    for section in students.values():
        # A teacher's pair is its own name; it is shown above each student that learns from it.
        teacher = str(section[0].cell.get("pair")).partition(":")[0]
        section[:0] = teachers.get(", ".join(filter(None, [teacher, _words(section[0], *shared)])), [])
    return [_methods_table(title, section, metric) for title, section in (students or teachers).items()]


def _methods_table(title: str, records: list[Record], metric: str) -> Table:
    devices = _grouped(records, lambda r: r.backend)
    several_devices = {name for name, group in devices.items() if len({r.cell.get("device") for r in group}) > 1}

    def column(record: Record) -> str:
        return (
            f"{record.backend} ({record.cell.get('device')})" if record.backend in several_devices else record.backend
        )

    labels = _row_labels(records)
    cells = _grouped(records, lambda r: (labels[id(r)], column(r)))
    means = {place: _values(group, metric) for place, group in cells.items()}
    entries = {place: _mean_text(means[place], group, metric) for place, group in cells.items()}
    rows = list(dict.fromkeys(labels[id(r)] for r in sorted(records, key=_method_order)))
    columns = _backend_order({place[1] for place in cells})
    for name in columns:
        finite = {row: numpy.mean(means[row, name]) for row in rows if row != TEACHER and means.get((row, name))}
        if len(finite) < 2:
            continue
        best = (max if higher_is_better(metric) else min)(finite.values())
        for row, mean in finite.items():
            if mean == best:
                entries[row, name] = f"**{entries[row, name]}**"
    seeds = sorted({len(values) for place, values in means.items() if values and place[0] != TEACHER}) or [1]
    count = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seed" + "s" * (seeds[0] > 1)
    better = "larger" if higher_is_better(metric) else "smaller"
    note = f"{metric}, mean ± standard error over {count}; {better} is better."
    return Table(f"Methods: {title}", grid(entries, rows, columns, "method"), note)


def _row_labels(records: list[Record]) -> dict[int, str]:
    """A label for each record, by id(): its method, and those parameters in which cells of that method differ."""
    labels: dict[int, str] = {}
    for label, group in _grouped(records, method_label).items():
        apart = ("seed", "backend", "device", "method", "pair", "dataset", "scale", "dtype")
        fields = sorted({name for r in group for name in r.cell if name not in apart})
        varying = [name for name in fields if len({json.dumps(r.cell.get(name), default=str) for r in group}) > 1]
        if "(" in label:
            varying = [name for name in varying if name not in ("alpha", "beta")]
        for record in group:
            words = [f"{name}={record.cell.get(name)}" for name in varying if record.cell.get(name) is not None]
            labels[id(record)] = " ".join([label, *words])
    return labels


def _mean_text(values: list[float], group: list[Record], metric: str) -> str:
    """`0.9712 ± 0.0011`, and how many cells of the group ended otherwise."""
    failures = _grouped([r for r in group if r.status != "ok"], lambda r: r.status)
    suffix = "".join(f", {len(records)} {status}" for status, records in failures.items())
    if not values:
        return suffix.removeprefix(", ") or "—"
    mean, error = mean_and_error(values)
    digits = 4 if abs(mean) < 10 else 2
    text = f"{mean:.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{mean:.{digits}f}"
    return text + suffix


def frameworks(records: list[Record]) -> Table | None:
    """The same training steps in two frameworks: largest relative differences of losses, logits and statistics."""
    traces = [
        r for r in records if r.suite == "distill" and r.cell.get("scale") == TRACE_SCALE and "trace" in r.details
    ]
    rows = []
    for group in _grouped(traces, lambda r: identity(r.cell, without=("backend", "device"))).values():
        by_backend = {r.backend: r for r in group}
        for first, second in combinations(_backend_order(set(by_backend)), 2):
            rows.append(_trace_row(by_backend[first], by_backend[second]))
    if not rows:
        return None
    names = ["cell", "frameworks", "losses", "logits", "statistics", "bar", "verdict"]
    note = (
        "Largest relative difference over 20 training steps from the same weights and batches: step losses; logits in "
        "evaluation mode (relative to the largest) and running statistics after the last step."
    )
    return Table("Agreement of the frameworks", pandas.DataFrame(rows, columns=names), note)


def trace_differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
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


def _trace_row(first: Record, second: Record) -> list[str]:
    differences = trace_differences(first.details["trace"], second.details["trace"])
    dtype = str(first.cell.get("dtype"))
    bar = TRACE_BARS.get(dtype)
    figures = [f"{value:.1e}" for value in differences.values()]
    verdict = "—" if bar is None else "pass" if all(value <= bar for value in differences.values()) else "**fail**"
    name = f"{method_label(first)} {_words(first, 'dataset', 'dtype')}"
    return [name, f"{first.backend} / {second.backend}", *figures, "—" if bar is None else f"{bar:.0e}", verdict]


def _relative(first: Any, second: Any, each: bool = False) -> float:
    a, b = numpy.asarray(first, dtype=numpy.float64), numpy.asarray(second, dtype=numpy.float64)
    if a.shape != b.shape or not (numpy.isfinite(a).all() and numpy.isfinite(b).all()):
        return math.inf
    size = numpy.maximum(abs(a), abs(b)) if each else numpy.max([abs(a).max(initial=0), abs(b).max(initial=0)])
    size = numpy.where(size == 0, 1.0, size)
    return float((abs(a - b) / size).max(initial=0.0))


def agreement(records: list[Record]) -> Table | None:
    """Largest value and gradient error against the reference, by dtype and backend."""
    kept = [r for r in records if r.suite == "agreement"]
    if not kept:
        return None
    entries = {}
    for place, group in _grouped(kept, lambda r: (str(r.cell.get("dtype")), r.backend)).items():
        worst = [_worst(group, f"agreement/{kind}_error") for kind in ("value", "gradient")]
        other = sum(r.status != "ok" for r in group)
        entries[place] = f"{worst[0]:.1e} / {worst[1]:.1e}" + (f", **{other} of {len(group)} not ok**" if other else "")
    order = ["float64", "float32", "bfloat16", "float16"]
    rows = sorted({dtype for dtype, _ in entries}, key=lambda d: (order.index(d) if d in order else len(order), d))
    columns = _backend_order({backend for _, backend in entries})
    note = "Largest relative error over all cells of a dtype: value / gradient."
    return Table("Errors against the reference", grid(entries, rows, columns, "dtype"), note)


def _worst(group: list[Record], metric: str) -> float:
    """The largest error; nan counts as larger than any number."""
    values = [r.metrics[metric] for r in group if metric in r.metrics]
    return math.nan if not values or any(math.isnan(value) for value in values) else max(values)


def timings(records: list[Record]) -> Table | None:
    """Loss timings: a row for each problem, backend and implementation, beside the framework's own KL."""
    kept = [r for r in records if r.suite == "loss"]
    if not kept:
        return None
    yardsticks = {
        _problem(r): r.metrics.get("loss/forward_backward_ms")
        for r in kept
        if r.cell.get("implementation") == "framework_kl" and r.status == "ok"
    }
    rows = []
    backends = _backend_order({r.backend for r in kept})
    for record in sorted(kept, key=lambda r: (_size(r), backends.index(r.backend), _loss_label(r))):
        figures = [_figure_text(record, f"loss/{n}") for n in ("forward_ms", "forward_backward_ms", "percent_of_copy")]
        yardstick = yardsticks.get(_problem(record))
        time = record.metrics.get("loss/forward_backward_ms")
        ratio = f"{time / yardstick:.2f}" if record.status == "ok" and time and yardstick else "—"
        problem = f"{record.cell.get('rows')}×{record.cell.get('classes')} {record.cell.get('dtype')}"
        rows.append(
            [problem, record.backend, _loss_label(record), *figures, ratio, _figure_text(record, "memory/peak_mb")]
        )
    names = ["problem", "backend", "loss", "forward ms", "forward + backward ms", "% of copy", "× own KL", "peak MB"]
    note = "Median times. `× own KL`: forward + backward as a multiple of the framework's own KL loss on log-softmax."
    return Table("Time of the loss", pandas.DataFrame(rows, columns=names), note)


def _figure_text(record: Record, metric: str) -> str:
    if record.status != "ok":
        return "void" if record.status == "failed" else record.status
    value = record.metrics.get(metric)
    return "—" if value is None or not math.isfinite(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _size(record: Record) -> tuple[int, int, str]:
    return record.cell.get("rows", 0), record.cell.get("classes", 0), str(record.cell.get("dtype"))


def _loss_label(record: Record) -> str:
    cell = record.cell
    if cell.get("implementation") == "framework_kl":
        return "own KL"
    name = str(cell.get("divergence", cell.get("implementation", "—")))
    return name if cell.get("alpha") is None else f"{name} ({cell['alpha']:g}, {cell['beta']:g})"


def _problem(record: Record) -> tuple[str, ...]:
    return tuple(str(record.cell.get(name)) for name in ("rows", "classes", "dtype", "device")) + (record.backend,)


def _values(group: Iterable[Record], metric: str) -> list[float]:
    values = (r.metrics.get(metric) for r in group if r.status == "ok")
    return [value for value in values if value is not None and math.isfinite(value)]


def _grouped(records: list[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    found: dict[Any, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def _words(record: Record, *names: str) -> str:
    return ", ".join(str(record.cell[name]) for name in names if record.cell.get(name) is not None)


def _backend_order(names: set[str]) -> list[str]:
    known = list(COLOURS)
    return sorted(names, key=lambda n: (known.index(n.split()[0]) if n.split()[0] in known else len(known), n))


def _method_order(record: Record) -> tuple[int, str]:
    known = [TEACHER, "sft", "kd", "rkld"]
    method = str(record.cell.get("method"))
    return (known.index(method) if method in known else len(known), method_label(record))
