"""What the records were measured on, as tables: hardware and code, threads and flags, versions, of each backend."""

from collections import Counter
from typing import Any

import pandas

from results import grouping
from results.records.record import Record
from results.tables.table import Table
from results.words import backend_order

# fields of a record's environment with their names for people, in the order of the first table
_NAMES = {
    "git_commit": "commit",
    "cpu": "processor",
    "cpu_isa": "widest vectors",
    "cpu_mhz_max": "processor, MHz at most",
    "cpu_governor": "clock governor",
    "cores": "cores",
    "cores_physical": "cores, physical",
    "cores_usable": "cores, usable",
    "cores_quota": "cores, allowed",
    "memory_gb": "memory, GB",
    "backend.device": "device",
    "gpu": "GPU",
    "gpu_driver": "GPU driver",
    "gpu_memory_mb": "GPU memory, MB",
    "gpu_capability": "GPU capability",
    "gpu_mhz_max": "GPU, MHz at most",
    "gpu_memory_mhz_max": "GPU memory, MHz at most",
    "gpu_power_limit_w": "GPU power, W at most",
    "os": "system",
    "python": "Python",
    "now.load": "load when a cell began",
}
_COMMIT, _LOAD = "git_commit", "now.load"
_BACKEND, _VARIABLE, _VERSION = "backend.", "variable.", "version."
# stand in another row
_ELSEWHERE = ("git_dirty", "backend.framework", "backend.version")
_MOST = 3
_CHANGED = " + changes"


def tables(records: list[Record]) -> list[Table]:
    """A row for each fact, a column for each backend; no tables where no record has an environment.

    Args:
        records: the newest record of each cell.
    """
    groups = grouping.grouped([record for record in records if record.environment], lambda record: record.backend)
    seen = {backend: _values(groups[backend]) for backend in backend_order(groups)}
    fields = sorted({name for values in seen.values() for name in values} - {*_ELSEWHERE})
    versions = [name for name in fields if name.startswith(_VERSION)]
    libraries = {name.removeprefix(_VERSION) for name in versions}
    flags = [
        name
        for name in fields
        if name.startswith((_BACKEND, _VARIABLE)) and name not in _NAMES and name.removeprefix(_BACKEND) not in libraries
    ]
    parts = {
        "Hardware and code": [name for name in _NAMES if name in fields],
        "Threads and flags": sorted(flags, key=lambda name: (name != "backend.threads", name)),
        "Versions": versions,
    }
    return [_table(title, names, seen) for title, names in parts.items() if names]


def _table(title: str, names: list[str], seen: dict[str, dict[str, Counter[Any]]]) -> Table:
    rows = [[_name(name), *(_text(values.get(name), name) for values in seen.values())] for name in names]
    several = any(len(values.get(name, ())) > 1 for values in seen.values() for name in names if name != _LOAD)
    notes = ["In brackets: of how many cells, where they differ; the most frequent first."] if several else []
    if any(text.endswith(_CHANGED) for values in seen.values() for text in values.get(_COMMIT, ()) if _COMMIT in names):
        notes.append(f"“{_CHANGED.strip()}”: files of the clone had changes that were in no commit.")
    return Table(title, pandas.DataFrame(rows, columns=["what", *seen]), " ".join(notes))


def _values(group: list[Record]) -> dict[str, Counter[Any]]:
    """How often each field has each value; the commit says whether it was changed, the load stays a number."""
    counts: dict[str, Counter[Any]] = {}
    for record in group:
        for name, value in record.environment.items():
            if name == _COMMIT:
                value = str(value)[:10] + (_CHANGED if record.environment.get("git_dirty") else "")
            counts.setdefault(name, Counter())[value if name == _LOAD else str(value)] += 1
    return counts


def _name(field: str) -> str:
    if field.startswith(_BACKEND):
        return _NAMES.get(field) or field.removeprefix(_BACKEND).replace("_", " ")
    return _NAMES.get(field) or field.removeprefix(_VARIABLE).removeprefix(_VERSION)


def _text(values: Counter[Any] | None, name: str) -> str:
    if not values:
        return "—"
    if name == _LOAD:
        low, high = min(values), max(values)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if len(values) == 1:
        return str(next(iter(values)))
    shown = [f"{value} ({count})" for value, count in values.most_common(_MOST)]
    return ", ".join(shown) + (f", and {len(values) - _MOST} more" if len(values) > _MOST else "")
