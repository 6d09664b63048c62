"""How records of students are grouped and named in tables: by section, row and column."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from results.figures.style import field_word, mean_and_error, method_label
from results.records.record import Record, Status

TRACE_SCALE = "trace"
TEACHER = "teacher"

# what tells sections and columns apart, or is averaged over; any other field of a cell tells rows apart.
APART = ("seed", "backend", "device", "method", "pair", "dataset", "scale", "dtype", "precision", "repeat", "teacher_weights")
_SHARED = ("dataset", "scale", "dtype", "precision", "teacher_weights")


def sections(records: list[Record]) -> dict[str, list[Record]]:
    """Students by pair, data set, scale, dtype, precision and given teacher, each section with its teacher at its head.

    Traces and repeats are left out. Where there are teachers only, each is a section of its own.
    """
    kept = [r for r in records if r.suite == "distill" and counts(r)]
    teachers = grouped([r for r in kept if r.cell.get("method") == TEACHER], lambda r: words(r, "pair", *_SHARED))
    students = grouped([r for r in kept if r.cell.get("method") != TEACHER], lambda r: words(r, "pair", *_SHARED))
    shared = [name for name in _SHARED if name != "precision"]
    for section in students.values():
        # A teacher's pair is its own name; it is shown above each student that learns from it.
        teacher = str(section[0].cell.get("pair")).partition(":")[0]
        # it is trained in float32, also for students of another precision
        section[:0] = teachers.get(", ".join(filter(None, [teacher, words(section[0], *shared)])), [])
    return students or teachers


def row_labels(records: list[Record]) -> dict[int, str]:
    """A label for each record, by id(): its method, and those parameters in which cells of that method differ."""
    labels: dict[int, str] = {}
    for label, group in grouped(records, method_label).items():
        told = varying(group, (*APART, "alpha", "beta") if "(" in label else APART)
        for record in group:
            parts = [f"{name}={record.cell[name]}" for name in told if record.cell.get(name) is not None]
            labels[id(record)] = " ".join([label, *parts])
    return labels


def varying(group: list[Record], without: Collection[str] = APART) -> list[str]:
    """Fields in which the cells of a group differ, in the order of their names.

    Args:
        group: records of any suite.
        without: fields that do not count.
    """
    fields = sorted({name for record in group for name in record.cell} - set(without))
    return [name for name in fields if len({repr(record.cell.get(name)) for record in group}) > 1]


def counts(record: Record) -> bool:
    """Whether a training is a result of its own: neither a trace, nor a repeat that only shows what rounding does."""
    return record.cell.get("scale") != TRACE_SCALE and not record.cell.get("repeat")


def columns(records: list[Record]) -> dict[int, str]:
    """The column of each record, by id(): its backend, with the device where a backend ran on several."""
    devices = grouped(records, lambda r: r.backend)
    several = {name for name, group in devices.items() if len({r.cell.get("device") for r in group}) > 1}
    return {id(r): f"{r.backend} ({r.cell.get('device')})" if r.backend in several else r.backend for r in records}


def row_order(records: list[Record], labels: dict[int, str]) -> list[str]:
    """The labels in the order in which tables show them."""
    ordered = sorted(records, key=lambda r: (*_method_order(r), labels[id(r)]))
    return list(dict.fromkeys(labels[id(r)] for r in ordered))


def mean_text(values: list[float], group: list[Record]) -> str:
    """`0.9712 ± 0.0011`, and how many cells of the group ended otherwise."""
    failures = grouped([r for r in group if r.status != Status.OK], lambda r: r.status)
    suffix = "".join(f", {len(records)} {status}" for status, records in failures.items())
    if not values:
        return suffix.removeprefix(", ") or "—"
    mean, error = mean_and_error(values)
    digits = 4 if abs(mean) < 10 else 2
    text = f"{mean:.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{mean:.{digits}f}"
    return text + suffix


def finite(group: Iterable[Record], metric: str) -> list[float]:
    """The finite figures of the cells that ended well."""
    values = (r.metrics.get(metric) for r in group if r.status == Status.OK)
    return [value for value in values if value is not None and math.isfinite(value)]


def by_seed(group: Iterable[Record], metric: str) -> dict[Any, float]:
    """Seed to the finite figure of each cell that ended well; of one setting, whose seeds are all different."""
    return {record.cell.get("seed"): value for record in group for value in finite([record], metric)}


def grouped(records: list[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    """Records by key, in the order of their first."""
    found: dict[Any, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def words(record: Record, *names: str) -> str:
    """Fields of a cell as words, those that it has."""
    return ", ".join(field_word(name, record.cell[name]) for name in names if record.cell.get(name) is not None)


def _method_order(record: Record) -> tuple[int, str]:
    known = [TEACHER, "sft", "kd", "rkld"]
    method = str(record.cell.get("method"))
    return (known.index(method) if method in known else len(known), method_label(record))
