"""One finished cell, as it lies in the store: what was measured, how it ended, and where."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import math
import numbers
import re
from typing import Any

from results.records import schema
from results.records.schema import RecordError

SCHEMA_VERSION = schema.VERSION


class Status(enum.StrEnum):
    """How a cell ended; equal to its word, so that "ok" and Status.OK are the same."""

    OK = "ok"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"
    MISSING_DATA = "missing-data"
    MISSING_WEIGHTS = "missing-weights"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    # stopped on purpose, since other settings of a sweep did better: not finished, and nothing went wrong
    PRUNED = "pruned"


STATUSES = tuple(Status)

# Suite and key become a path; a metric's name has to be one that MLflow takes, on every platform.
_PATH_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_METRIC_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ -]{0,249}")

_TEXTS = ("backend", "invocation", "message", "timing_key", "started", "finished")
_TIMES = ("started", "finished")
_DICTS = ("cell", "metrics", "curves", "details", "artifacts", "environment")
# what readers of `details` rely on: its entries of these names, where they are there
_DETAILS = {
    "data": dict,
    "decided": dict,
    "pruned": dict,
    "recipe": dict,
    "samples_s": dict,
    "sources": dict,
    "step_losses": dict,
    "system": dict,
    "trace": dict,
    "worst": list,
}
# a number of more digits is none that a float holds, and no text of a record has so many
_TOO_LONG = re.compile(r"\d{309}")

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclasses.dataclass(kw_only=True)
class Record:
    """The outcome of one cell.

    Its fields are checked by hand: msgspec and pydantic would be one more dependency of everybody who reads a record, and
    take over the types of the fields only, not the rules for names nor the figures that JSON cannot write.

    Attributes:
        suite: "agreement", "loss", "distill"; the folder of the record and the MLflow experiment `abkd-<suite>`.
        backend: "torch", "jax", "tensorflow".
        key: digest of all that decides the result; the record's file name.
        invocation: identifier of the command that ran the cell; one parent run in MLflow.
        cell: what was run (backend, pair, dataset, method, alpha, beta, temperature, seed, scale, dtype, device, …).
        status: a Status, or its word.
        message: one line saying why the status is not "ok".
        timing_key: digest of what decides the timings (hardware, library versions) beside `key`.
        metrics: final figures by name (`test/accuracy`, …; milliseconds `_ms`, seconds `_s`, megabytes `_mb`).
        curves: the same names, one figure per epoch.
        details: anything else that JSON can hold.
        artifacts: files that belong to the record, such as the student: name to path, relative to the store's folder.
        environment: what `results.records.environment.capture` returned, with the backend's own description.
        started: ISO 8601 time in UTC.
        finished: ISO 8601 time in UTC; of two records of one cell the one finished later counts.
        schema: version of this layout (`results.records.schema`).

    Raises:
        ValueError: a field that does not hold what it must, with its value and what is allowed.
    """

    suite: str
    backend: str
    key: str
    invocation: str
    cell: dict[str, Any]
    status: Status | str
    message: str = ""
    timing_key: str = ""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, str] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    started: str = ""
    finished: str = ""
    schema: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("suite", "key"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _PATH_WORD.fullmatch(value):
                raise RecordError(f"{name}={value!r} names a file: letters, digits, '.', '_' and '-' are allowed, 200 at most.")
        if self.status not in STATUSES:
            raise RecordError(f"status={self.status!r} is unknown; allowed: {', '.join(STATUSES)}.")
        self.status = Status(self.status)
        for names, kind, word in ((_TEXTS, str, "text"), (_DICTS, dict, "a dict")):
            for name in names:
                if not isinstance(getattr(self, name), kind):
                    raise RecordError(f"{name}={getattr(self, name)!r} must be {word}.")
        for name in _TIMES:
            _check_time(name, getattr(self, name))
        for name in (*self.metrics, *self.curves):
            if not isinstance(name, str) or not _METRIC_NAME.fullmatch(name):
                raise RecordError(
                    f"metric name {name!r} is not usable in MLflow: letters, digits, '_', '-', '.', '/' and spaces are allowed."
                )
        for name, value in self.metrics.items():
            if not _is_number(value):
                raise RecordError(f"metric {name}={value!r} must be a number; leave out what was not measured.")
        for name, values in self.curves.items():
            if not isinstance(values, (list, tuple)) or not all(value is None or _is_number(value) for value in values):
                raise RecordError(f"curve {name}={values!r} must be a list of numbers.")
        for name, place in self.artifacts.items():
            if not isinstance(place, str):
                raise RecordError(f"artifact {name}={place!r} must be a path in the store.")
        for name, value in self.cell.items():
            if isinstance(value, numbers.Real) and not isinstance(value, bool) and not _is_number(value):
                raise RecordError(f"cell {name} is a number that no float holds.")
        for name, kind in _DETAILS.items():
            if not isinstance(self.details.get(name, kind()), kind):
                raise RecordError(f"details {name}={self.details[name]!r} must be a {kind.__name__}.")
        _check_details(self.details)

    @property
    def title(self) -> str:
        """A short name of the cell for people: what the MLflow run is called."""
        return cell_title(self.suite, self.backend, self.cell)

    def to_json(self) -> str:
        """The record as JSON. Non-finite figures become null and are named in `details["non_finite"]`."""
        fields = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        fields["details"].pop("non_finite", None)
        non_finite: dict[str, str] = {}
        for section in ("metrics", "curves", "cell", "details", "environment"):
            prefix = "" if section == "metrics" else section
            fields[section] = _without_non_finite(fields[section], prefix, non_finite)
        if non_finite:
            fields["details"]["non_finite"] = non_finite
        return json.dumps(fields, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """The record that `to_json` wrote; non-finite figures come back as floats.

        Raises:
            RecordError: not JSON (a torn file, say), not a record, or of a newer schema than this version knows.
        """
        try:
            decoded = text if isinstance(text, str) else text.decode()
            fields = json.loads(decoded)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"not complete JSON ({error})") from error
        if _TOO_LONG.search(decoded):
            raise RecordError("not a record (it holds a number that no float holds)")
        if not isinstance(fields, dict):
            raise RecordError("not a record (no object)")
        fields = schema.upgrade(fields)
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            for path, word in fields["details"].get("non_finite", {}).items():
                _restore(fields, path, _NOT_FINITE[word])
            return cls(**{name: value for name, value in fields.items() if name in known})
        except RecordError:
            raise
        except (TypeError, KeyError, AttributeError, IndexError, ValueError, RecursionError) as error:
            raise RecordError(f"not a record ({type(error).__name__}: {error})") from error

    def non_finite(self) -> dict[str, str]:
        """The metrics that are not finite: name to "nan", "inf" or "-inf"."""
        return {name: _word(value) for name, value in self.metrics.items() if not math.isfinite(value)}


def cell_title(suite: str, backend: str, cell: dict[str, Any]) -> str:
    """A name of a cell for people, from whichever of the usual fields it has.

    What tells cells of one run apart comes first: the MLflow UI cuts long names.
    """
    parts = [str(cell[name]) for name in ("method", "divergence", "implementation") if cell.get(name)]
    for name, sign in (("alpha", "α"), ("beta", "β"), ("temperature", "T"), ("spread", "spread ")):
        if cell.get(name) is not None:
            value = cell[name]
            parts.append(f"{sign}{value:g}" if isinstance(value, (int, float)) else f"{sign}{value}")
    if cell.get("classes") is not None:
        parts.append(f"{cell['rows']}×{cell['classes']}" if cell.get("rows") else f"{cell['classes']} classes")
    if cell.get("seed") is not None:
        parts.append(f"seed {cell['seed']}")
    if cell.get("repeat"):
        parts.append(f"repeat {cell['repeat']}")
    parts += [str(cell[name]) for name in ("precision", "dtype", "scale", "dataset", "pair") if cell.get(name)]
    return " ".join([*parts, backend]) if parts else f"{suite} {backend}"


def plain(value: Any) -> Any:
    """A copy of `value` made of what JSON knows; arrays and scalars of NumPy become lists and numbers.

    Raises:
        TypeError: a value that JSON cannot hold, by its type.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return copy.copy(value)
    raise TypeError(f"a record holds numbers, strings, lists and dicts; got {type(value).__name__}: {value!r}")


def identity(cell: dict[str, Any], without: tuple[str, ...] = ()) -> str:
    """A cell as one comparable string: its fields in order, those of `without` and the empty ones left out."""
    kept = {name: value for name, value in cell.items() if name not in without and value is not None}
    return _IDENTITY.encode(kept)


# made once: thousands of cells are compared
_IDENTITY = json.JSONEncoder(sort_keys=True, default=plain)


def newest(records: list[Record]) -> list[Record]:
    """One record per (suite, backend, cell): the one that finished last.

    A cell whose code changed has a new key, so the store may hold several records of it.
    """
    by_cell: dict[tuple[str, str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.finished):
        by_cell[record.suite, record.backend, identity(record.cell)] = record
    return list(by_cell.values())


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float holds; infinities and NaN are."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _check_time(name: str, text: str) -> None:
    try:
        if text:
            datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{name}={text!r} must be an ISO 8601 time, such as 2026-01-31T12:00:00+00:00.") from error


def _check_details(details: dict[str, Any]) -> None:
    """What a plan and MLflow read of the details, entry by entry."""
    decided = details.get("decided", {})
    if not (isinstance(decided.get("code", {}), dict) and isinstance(decided.get("other", ""), str)):
        raise RecordError(f"details decided={decided!r} must hold the digests of files in code, and a digest in other.")
    for name, values in details.get("system", {}).items():
        if not isinstance(values, (list, tuple)) or not all(map(_is_number, values)):
            raise RecordError(f"details system, {name}: {values!r} must be a list of numbers.")
    for row in details.get("worst", []):
        if not isinstance(row, dict):
            raise RecordError(f"details worst: {row!r} must be a dict.")


def _word(value: float) -> str:
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _without_non_finite(value: Any, path: str, non_finite: dict[str, str]) -> Any:
    """`value` with null for every non-finite float; `non_finite` gets its path ("curves/train/loss/3") and its word."""
    if isinstance(value, float) and not math.isfinite(value):
        non_finite[path] = _word(value)
        return None
    join = f"{path}/" if path else ""
    if isinstance(value, dict):
        return {name: _without_non_finite(inner, f"{join}{name}", non_finite) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_non_finite(item, f"{join}{index}", non_finite) for index, item in enumerate(value)]
    return value


def _restore(fields: dict[str, Any], path: str, number: float) -> None:
    """Put `number` back where `_without_non_finite` took it from."""
    if path in fields["metrics"]:
        fields["metrics"][path] = number
        return
    section, _, rest = path.partition("/")
    holder: Any = fields[section]
    while rest:
        # Names may hold slashes themselves ("train/loss"), so the longest name that fits comes first.
        if isinstance(holder, list):
            name, _, rest = rest.partition("/")
            step: Any = int(name)
        else:
            step = max((n for n in holder if rest == n or rest.startswith(f"{n}/")), key=len)
            rest = rest[len(step) + 1 :]
        if rest:
            holder = holder[step]
        else:
            holder[step] = number
