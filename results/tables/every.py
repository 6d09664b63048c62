"""Tables of what the store holds: methods × backends × data sets, agreement of the frameworks, errors, timings."""

import math

import numpy as np
import pandas

from results import grouping
from results.figures.style import backend_order, dtype_order, mean_and_error
from results.grouping import TEACHER, TRACE_SCALE
from results.metrics import higher_is_better
from results.records.record import Record, Status, newest
from results.tables import framework_steps, frameworks, paired, precisions, published, sweeps, traces, yardstick
from results.tables.table import Table, grid

__all__ = ["TEACHER", "TRACE_SCALE", "agreement", "data_sets", "higher_is_better", "methods", "tables", "timings"]


def tables(records: list[Record], metric: str = "test/accuracy", baseline: str | None = None) -> list[Table]:
    """Every table for which there are records.

    Args:
        records: what to compare; of several records of one cell the newest counts.
        metric: the metric of the tables of methods.
        baseline: the method that the others are compared with (`results.tables.paired`); None for a usual one.

    Raises:
        ValueError: no student was trained with `baseline`.
    """
    records = newest(records)
    found = [*methods(records, metric), *data_sets(records, metric), *paired.tables(records, metric, baseline)]
    found += sweeps.tables(records, metric)
    found += [*frameworks.tables(records, metric), *framework_steps.tables(records)]
    single = (
        precisions.table(records, metric),
        published.table(records),
        traces.table(records),
        agreement(records),
        timings(records),
        throughput(records),
    )
    for table in single:
        if table is not None:
            found.append(table)
    return found


def methods(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Methods × backends for each pair, dataset, scale and dtype: mean ± standard error over seeds, best in bold."""
    return [_methods_table(title, section, metric) for title, section in grouping.sections(records).items()]


def _methods_table(title: str, records: list[Record], metric: str) -> Table:
    labels, columns = grouping.row_labels(records), grouping.columns(records)
    cells = grouping.grouped(records, lambda r: (labels[id(r)], columns[id(r)]))
    rows = grouping.row_order(records, labels)
    return _means(f"Methods: {title}", cells, rows, backend_order(set(columns.values())), metric)


def data_sets(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Methods × data sets for each backend; empty where the records are of one pair and data set only."""
    # precisions and teachers are no data sets: they have tables of their own
    sections = grouping.sections([r for r in records if r.cell.get("precision") is None])
    if len({grouping.words(s[-1], "pair", "dataset", "scale", "dtype") for s in sections.values()}) < 2:
        return []
    places = {id(r): title for title, section in sections.items() for r in section}
    kept = [r for section in sections.values() for r in section if r.cell.get("method") != TEACHER]
    labels, columns = grouping.row_labels(kept), grouping.columns(kept)
    found = []
    for column in backend_order(set(columns.values())):
        group = [r for r in kept if columns[id(r)] == column]
        cells = grouping.grouped(group, lambda r: (labels[id(r)], places[id(r)]))
        names = [title for title in sections if any(place == title for _, place in cells)]
        found.append(_means(f"Data sets: {column}", cells, grouping.row_order(group, labels), names, metric))
    return found


def _means(title: str, cells: dict[tuple[str, str], list[Record]], rows: list[str], columns: list[str], metric: str) -> Table:
    """A table of means ± standard errors from records by (row, column), the best of each column in bold."""
    means = {place: grouping.finite(group, metric) for place, group in cells.items()}
    entries = {place: grouping.mean_text(means[place], group) for place, group in cells.items()}
    for name in columns:
        finite = {row: np.mean(means[row, name]) for row in rows if row != TEACHER and means.get((row, name))}
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
    figures = [
        [row, name, metric, *mean_and_error(means[row, name]), len(means[row, name])]
        for row in rows
        for name in columns
        if means.get((row, name))
    ]
    data = pandas.DataFrame(figures, columns=["method", "column", "metric", "mean", "standard_error", "seeds"])
    return Table(title, grid(entries, rows, columns, "method"), note, data)


def agreement(records: list[Record]) -> Table | None:
    """Largest value and gradient error against the reference, by dtype and backend."""
    kept = [r for r in records if r.suite == "agreement"]
    if not kept:
        return None
    entries = {}
    for place, group in grouping.grouped(kept, lambda r: (str(r.cell.get("dtype")), r.backend)).items():
        worst = [_worst(group, f"agreement/{kind}_error") for kind in ("value", "gradient")]
        other = sum(r.status != Status.OK for r in group)
        entries[place] = f"{worst[0]:.1e} / {worst[1]:.1e}" + (f", **{other} of {len(group)} not ok**" if other else "")
    rows = dtype_order({dtype for dtype, _ in entries})
    columns = backend_order({backend for _, backend in entries})
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
    ratios = yardstick.ratios(kept)
    rows = []
    backends = backend_order({r.backend for r in kept})
    for record in sorted(kept, key=lambda r: (_size(r), backends.index(r.backend), _loss_label(r))):
        figures = [_figure_text(record, f"loss/{n}") for n in ("forward_ms", "forward_backward_ms", "percent_of_copy")]
        ratio = f"{ratios[id(record)][0]:.2f}" if id(record) in ratios else "—"
        if yardstick.is_yardstick(record) and record.status == Status.OK:
            ratio = "1.00"
        problem = f"{record.cell.get('rows')}×{record.cell.get('classes')} {record.cell.get('dtype')}"
        rows.append([problem, record.backend, _loss_label(record), *figures, ratio, _figure_text(record, "memory/peak_mb")])
    names = ["problem", "backend", "loss", "forward ms", "forward + backward ms", "% of copy", "× own KL", "peak MB"]
    note = "Median times. `× own KL`: forward + backward as a multiple of the framework's own KL loss on log-softmax."
    return Table("Time of the loss", pandas.DataFrame(rows, columns=names), note)


def throughput(records: list[Record]) -> Table | None:
    """Training throughput of the harness, beside plain loops of the same framework."""
    kept = [r for r in records if r.suite == "throughput"]
    if not kept:
        return None
    backends = backend_order({r.backend for r in kept})
    rows = []
    for record in sorted(kept, key=lambda r: (str(r.cell.get("pair")), backends.index(r.backend), str(r.cell["method"]))):
        rates = [_figure_text(record, f"throughput/{n}images_per_s") for n in ("", "plain_", "loader_", "input_")]
        ratios = [_ratio_text(record, f"throughput/times_{n}") for n in ("plain", "loader")]
        rows.append([record.cell.get("pair"), record.backend, record.cell["method"], *rates, *ratios])
    names = ["pair", "backend", "method", "harness", "plain", "data loader", "input alone", "× plain", "× data loader"]
    note = (
        "Images a second. `× plain`: of the harness over the fastest plain loop on batches that lie ready, with the 95 % "
        "interval; `× data loader`: over a loop with transforms of each image."
    )
    return Table("Training throughput", pandas.DataFrame(rows, columns=names), note)


def _ratio_text(record: Record, metric: str) -> str:
    figures = [record.metrics.get(f"{metric}{end}") for end in ("", "_low", "_high")]
    if record.status != Status.OK or None in figures:
        return "—"
    return "{:.2f} ({:.2f} to {:.2f})".format(*figures)


def _figure_text(record: Record, metric: str) -> str:
    if record.status != Status.OK:
        return "void" if record.status == Status.FAILED else record.status
    value = record.metrics.get(metric)
    return "—" if value is None or not math.isfinite(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _size(record: Record) -> tuple[int, int, str]:
    return record.cell.get("rows", 0), record.cell.get("classes", 0), str(record.cell.get("dtype"))


def _loss_label(record: Record) -> str:
    cell = record.cell
    if yardstick.is_yardstick(record):
        return "own KL"
    name = str(cell.get("divergence", cell.get("implementation", "—")))
    return name if cell.get("alpha") is None else f"{name} ({cell['alpha']:g}, {cell['beta']:g})"
