"""What a record is in MLflow: params, metrics, tags, data set inputs, tables."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import posixpath
import re
from typing import TYPE_CHECKING, Any

from results.records.record import Record, identity

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

# where the UI looks for tables of a run
TABLES_TAG = "mlflow.loggedArtifacts"


def params(record: Record) -> dict[str, str]:
    """The cell as params; fields that a suite leaves empty are left out."""
    cell = {"backend": record.backend, **record.cell}
    if record.suite == "distill" and cell.get("dtype") == "float32":
        cell.setdefault("precision", "float32")  # a cell names only another one, and a search should find both
    return {name_of(name): str(value)[:5000] for name, value in cell.items() if value is not None}


def metrics(record: Record) -> list[Metric]:
    """Curves as stepped metrics (the first epoch is step 1), the final figures, the machine's load; only finite ones.

    Timestamps come from the record, so that logging a metric again changes nothing.
    """
    from mlflow.entities import Metric

    time = milliseconds(record.finished)
    logged = []
    for name, values in record.curves.items():
        for epoch, value in enumerate(values, start=1):
            if value is not None and math.isfinite(value):
                logged.append(Metric(name_of(name), float(value), time, epoch))
    for name, value in record.metrics.items():
        curve = record.curves.get(name, [])
        if math.isfinite(value) and not (curve and curve[-1] == value):
            # The latest step and time decide which figure the run table shows: the final one.
            logged.append(Metric(name_of(name), float(value), time + 1, len(curve)))
    return logged + _system(record)


def figures(values: dict[str, float], records: list[Record]) -> list[Metric]:
    """Figures of several records, at the time at which the last of them was finished."""
    from mlflow.entities import Metric

    time = milliseconds(max((record.finished for record in records), default=""))
    return [Metric(name, float(value), time, 0) for name, value in values.items() if math.isfinite(value)]


def _system(record: Record) -> list[Metric]:
    """The samples of `results.records.monitor` at the times at which they were taken."""
    from mlflow.entities import Metric

    samples = record.details.get("system", {})
    start, seconds = milliseconds(record.started), samples.get("seconds", [])
    return [
        Metric(name_of(name), float(value), start + round(1000 * second), step)
        for name, values in samples.items()
        if name != "seconds"
        for step, (second, value) in enumerate(zip(seconds, values, strict=False))
        if math.isfinite(value)
    ]


def tags(record: Record) -> dict[str, str]:
    """Keys, status, figures that are no numbers, source and environment.

    `abkd.cell` is the same for the same cell in every backend and on every device, to find those that line up.
    """
    shared = identity(record.cell, without=("backend", "device"))
    values = {
        "abkd.suite": record.suite,
        "abkd.key": record.key,
        "abkd.timing_key": record.timing_key,
        "abkd.cell": hashlib.sha256(f"{record.suite} {shared}".encode()).hexdigest()[:16],
        "abkd.invocation": record.invocation,
        "abkd.status": record.status,
        "abkd.message": record.message[:1000],
        **{f"abkd.non_finite.{name}": word for name, word in record.non_finite().items()},
        **source_tags(record),
        **environment_tags(record),
    }
    return {name: str(value) for name, value in values.items() if value}


def source_tags(record: Record) -> dict[str, str]:
    """What the UI's column "Source" shows: the suite and the commit."""
    source = {"mlflow.source.name": f"suites {record.suite}", "mlflow.source.type": "LOCAL"}
    commit = record.environment.get("git_commit")
    return source | ({"mlflow.source.git.commit": str(commit)} if commit else {})


def environment_tags(record: Record) -> dict[str, str]:
    """The environment, a tag a fact."""
    return {name_of(f"environment.{name}"): str(value)[:1000] for name, value in sorted(record.environment.items())}


def inputs(record: Record) -> list[DatasetInput]:
    """The data set that a cell was trained and tested on, where its record names one."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data, name = record.details.get("data"), record.cell.get("dataset")
    if not isinstance(data, dict) or not name or not data.get("digest"):
        return []
    source = json.dumps({"uri": str(data.get("source", ""))})
    dataset = Dataset(name=str(name)[:500], digest=str(data["digest"])[:36], source_type="local", source=source)
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "training and test")])]


def tables(record: Record) -> dict[str, str]:
    """Tables of a record as MLflow's JSON, by the path of their artifact."""
    worst = record.details.get("worst")
    return {"tables/worst.json": split(worst)} if isinstance(worst, list) and worst else {}


def split(rows: list[dict[str, Any]]) -> str:
    """Rows as the JSON that MLflow keeps a table in; its own `log_table` would append them a second time."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    data = [[_cell(row.get(name)) for name in names] for row in rows]
    return json.dumps({"columns": names, "data": data}, allow_nan=False)


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def name_of(name: str) -> str:
    """A name with what MLflow does not allow in names replaced."""
    cleaned = re.sub(r"[^\w./ -]", "_", name)[:240]
    is_path = posixpath.normpath(cleaned) == cleaned and not cleaned.startswith(("/", ".."))
    return cleaned if is_path and cleaned != "." else re.sub(r"[./]", "_", cleaned) or "_"


def milliseconds(time: str) -> int:
    """ISO time to milliseconds since 1970; 0 where a record does not state it."""
    if not time:
        return 0
    parsed = datetime.datetime.fromisoformat(time)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp() * 1000)
