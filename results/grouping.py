"""How records of students are grouped and named in tables: by section, row and column."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.words import backend_order, field_words, method_label

Item = TypeVar("Item")

TRACE_SCALE = "trace"
TEACHER = "teacher"

# what tells sections and columns apart, or is averaged over; any other field of a cell tells rows apart.
APART = ("seed", "backend", "device", "method", "pair", "dataset", "scale", "dtype", "precision", "repeat", "teacher_weights")
_SHARED = ("dataset", "scale", "dtype", "precision", "teacher_weights")


def section_of(record: Record) -> str:
    """What stands over the tables that show a student."""
    return field_words(record, "pair", *_SHARED)


def sections(records: list[Record]) -> dict[str, list[Record]]:
    """Students by pair, data set, scale, dtype, precision and given teacher, each section with its teacher at its head.

    Traces and repeats are left out. Where there are teachers only, each is a section of its own.
    """
    kept = [r for r in records if r.suite == "distill" and counts(r)]
    teachers = grouped([r for r in kept if r.cell.get("method") == TEACHER], section_of)
    students = grouped([r for r in kept if r.cell.get("method") != TEACHER], section_of)
    shared = [name for name in _SHARED if name != "precision"]
    for section in students.values():
        # A teacher's pair is its own name; it is shown above each student that learns from it.
        teacher = str(section[0].cell.get("pair")).partition(":")[0]
        # it is trained in float32, also for students of another precision
        section[:0] = teachers.get(", ".join(filter(None, [teacher, field_words(section[0], *shared)])), [])
    return students or teachers


def student_sections(records: list[Record]) -> dict[str, list[Record]]:
    """The sections without their teachers; those that hold nothing else are left out."""
    students = {title: [r for r in group if r.cell.get("method") != TEACHER] for title, group in sections(records).items()}
    return {title: group for title, group in students.items() if group}


@dataclasses.dataclass(frozen=True)
class Labels:
    """How a table names the records that it shows; made of all of them, as a label says what tells them apart.

    Attributes:
        fields: label of a method to the parameters in which its records differ.
        on_devices: backends that ran on several devices.
    """

    fields: dict[str, list[str]]
    on_devices: set[str]

    @classmethod
    def of(cls, records: list[Record]) -> "Labels":
        """The labels of a table of these records."""
        fields = {
            label: varying(group, (*APART, "alpha", "beta") if "(" in label else APART)
            for label, group in grouped(records, method_label).items()
        }
        by_backend = grouped(records, lambda record: record.backend)
        return cls(fields, {name for name, group in by_backend.items() if len({r.cell.get("device") for r in group}) > 1})

    def row(self, record: Record) -> str:
        """The method, and those parameters in which records of that method differ."""
        label = method_label(record)
        parameters = [f"{name}={record.cell[name]}" for name in self.fields[label] if record.cell.get(name) is not None]
        return " ".join([label, *parameters])

    def column(self, record: Record) -> str:
        """The backend, with the device where it ran on several."""
        return f"{record.backend} ({record.cell.get('device')})" if record.backend in self.on_devices else record.backend

    def rows(self, records: list[Record]) -> list[str]:
        """The rows of these records in the order in which tables show them."""
        return list(dict.fromkeys(row for _, row in sorted((_method_order(r), self.row(r)) for r in records)))

    def columns(self, records: list[Record]) -> list[str]:
        """The columns of these records in the order in which tables show them."""
        return backend_order({self.column(record) for record in records})

    def fill(self, records: list[Record]) -> dict[tuple[str, str], list[Record]]:
        """The records of each (row, column)."""
        return grouped(records, lambda record: (self.row(record), self.column(record)))

    def by_column(self, records: list[Record]) -> dict[str, list[Record]]:
        """The records of each column, in the order of the columns."""
        groups = grouped(records, self.column)
        return {column: groups[column] for column in backend_order(groups)}


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


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Records, or anything else, by key, in the order of their first."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _method_order(record: Record) -> tuple[int, str]:
    known = [TEACHER, "sft", "kd", "rkld"]
    method = str(record.cell.get("method"))
    return (known.index(method) if method in known else len(known), method_label(record))
