"""Times of the loss and of the whole training, as tables."""

import math

import pandas

from results.metrics import METRICS
from results.records.record import Record, Status
from results.tables import yardstick
from results.tables.table import Table
from results.words import backend_order, number_word


def timings(records: list[Record]) -> Table | None:
    """Loss timings: a row for each problem, backend and implementation, beside the framework's own KL."""
    kept = [r for r in records if r.suite == "loss"]
    if not kept:
        return None
    yardsticks = yardstick.Yardsticks(kept)
    shown = ("loss/forward_ms", "loss/forward_backward_ms", "loss/percent_of_copy")
    rows = []
    backends = backend_order({r.backend for r in kept})
    for record in sorted(kept, key=lambda r: (_size(r), backends.index(r.backend), _loss_label(r))):
        times, peak = [_figure_text(record, name) for name in shown], _figure_text(record, "memory/peak_mb")
        is_yardstick = yardstick.is_yardstick(record) and record.status == Status.OK
        ratio = yardsticks.ratio(record)
        ratio_text = "1.00" if is_yardstick else "—" if ratio is None else f"{ratio.value:.2f}"
        problem = f"{record.cell.get('rows')}×{record.cell.get('classes')} {record.cell.get('dtype')}"
        rows.append([problem, record.backend, _loss_label(record), *times, ratio_text, peak])
    headings = [METRICS[name].heading for name in (*shown, yardstick.METRIC, "memory/peak_mb")]
    note = "Median times. `× own KL`: forward + backward as a multiple of the framework's own KL loss on log-softmax."
    return Table("Time of the loss", pandas.DataFrame(rows, columns=["problem", "backend", "loss", *headings]), note)


def throughput(records: list[Record]) -> Table | None:
    """Training throughput of the harness, beside plain loops of the same framework."""
    kept = [r for r in records if r.suite == "throughput"]
    if not kept:
        return None
    backends = backend_order({r.backend for r in kept})
    rows = []
    for record in sorted(kept, key=lambda r: (str(r.cell.get("pair")), backends.index(r.backend), str(r.cell.get("method")))):
        rates = [_figure_text(record, f"throughput/{n}images_per_s") for n in ("", "plain_", "loader_", "input_")]
        ratios = [_ratio_text(record, f"throughput/times_{n}") for n in ("plain", "loader")]
        rows.append([record.cell.get("pair"), record.backend, record.cell.get("method"), *rates, *ratios])
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
    return record.cell.get("rows") or 0, record.cell.get("classes") or 0, str(record.cell.get("dtype"))


def _loss_label(record: Record) -> str:
    cell = record.cell
    if yardstick.is_yardstick(record):
        return "own KL"
    name = str(cell.get("divergence", cell.get("implementation", "—")))
    return name if cell.get("alpha") is None else f"{name} ({number_word(cell['alpha'])}, {number_word(cell.get('beta'))})"
