"""Errors against the reference, as a table."""

import math

from results.grouping import grouped
from results.records.record import Record, Status
from results.tables.table import Table, grid
from results.words import backend_order, dtype_order


def table(records: list[Record]) -> Table | None:
    """Largest value and gradient error against the reference, by dtype and backend."""
    kept = [r for r in records if r.suite == "agreement"]
    if not kept:
        return None
    texts = {}
    for row_and_column, group in grouped(kept, lambda r: (str(r.cell.get("dtype")), r.backend)).items():
        worst = [_worst(group, f"agreement/{kind}_error") for kind in ("value", "gradient")]
        other = sum(r.status != Status.OK for r in group)
        texts[row_and_column] = f"{worst[0]:.1e} / {worst[1]:.1e}" + (f", **{other} of {len(group)} not ok**" if other else "")
    rows = dtype_order({dtype for dtype, _ in texts})
    columns = backend_order({backend for _, backend in texts})
    note = "Largest relative error over all cells of a dtype: value / gradient."
    return Table("Errors against the reference", grid(texts, rows, columns, "dtype"), note)


def _worst(group: list[Record], metric: str) -> float:
    """The largest error; nan counts as larger than any number."""
    values = [r.metrics[metric] for r in group if metric in r.metrics]
    return math.nan if not values or any(math.isnan(value) for value in values) else max(values)
