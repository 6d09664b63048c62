"""Students as tables: methods × backends of a section, and methods × data sets of a backend."""

import numpy as np
import pandas

from results import grouping, metrics
from results.grouping import TEACHER, Comparable, Labels
from results.records.record import Record
from results.significance.means import mean_and_error
from results.tables.table import Table, grid
from results.words import field_words

# records by (row, column)
Cells = dict[tuple[str, str], list[Record]]


def methods(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Methods × backends for each pair, dataset, scale and dtype: mean ± standard error over seeds, best in bold."""
    tables = []
    comparable = Comparable.of(records)
    for title, section in grouping.sections(comparable).items():
        labels = Labels.of(section)
        table = _means(f"Methods: {title}", labels.fill(section), labels.rows(section), labels.columns(section), metric)
        table.note += comparable.note(title)
        tables.append(table)
    return tables


def data_sets(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """Methods × data sets for each backend; empty where the records are of one pair and data set only."""
    # precisions and teachers are no data sets: they have tables of their own
    sections = grouping.sections(Comparable.of(records).only(lambda r: r.cell.get("precision") is None))
    if len({field_words(section[-1], "pair", "dataset", "scale", "dtype") for section in sections.values()}) < 2:
        return []
    title_of = {id(r): title for title, section in sections.items() for r in section if r.cell.get("method") != TEACHER}
    students = [r for section in sections.values() for r in section if id(r) in title_of]
    labels = Labels.of(students)
    tables = []
    for backend, records_of in labels.by_column(students).items():
        cells = grouping.grouped(records_of, lambda record: (labels.row(record), title_of[id(record)]))
        there = {title for _, title in cells}
        columns = [title for title in sections if title in there]
        tables.append(_means(f"Data sets: {backend}", cells, labels.rows(records_of), columns, metric))
    return tables


def _means(title: str, cells: Cells, rows: list[str], columns: list[str], metric: str) -> Table:
    """A table of means ± standard errors, the best of each column in bold."""
    known = metrics.find(metric)
    values = {cell: grouping.finite(group, metric) for cell, group in cells.items()}
    texts = {cell: grouping.mean_text(values[cell], group) for cell, group in cells.items()}
    for column in columns if known.better else ():
        finite = {row: np.mean(values[row, column]) for row in rows if row != TEACHER and values.get((row, column))}
        for row, mean in finite.items() if len(finite) > 1 else ():
            if mean == known.best(finite.values()):
                texts[row, column] = f"**{texts[row, column]}**"
    figures = [
        [row, column, metric, *mean_and_error(values[row, column]), len(values[row, column])]
        for row in rows
        for column in columns
        if values.get((row, column))
    ]
    data = pandas.DataFrame(figures, columns=["method", "column", "metric", "mean", "standard_error", "seeds"])
    numbers = pandas.DataFrame([grouping.numbers(cells[row, column]) for row, column, *_ in figures])
    data = pandas.concat([data, numbers], axis=1)
    counts = {len(of_cell) for (row, _), of_cell in values.items() if of_cell and row != TEACHER}
    return Table(title, grid(texts, rows, columns, "method"), _note(metric, known, counts), data)


def _note(metric: str, known: metrics.Metric, counts: set[int]) -> str:
    few, many = min(counts, default=1), max(counts, default=1)
    seeds = f"{few} to {many} seeds" if few < many else f"{few} seed" + "s" * (few > 1)
    direction = {"higher": "; larger is better", "lower": "; smaller is better", None: ""}[known.better]
    return f"{metric}, mean ± standard error over {seeds}{direction}."
