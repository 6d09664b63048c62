"""Published figures with this project's own beside them, where they are of the same kind; elsewhere the reason why not.

A figure of a stand-in, a subset or a short training says nothing about a published one. Such records get a row that says
what they are, without a number, so that nobody compares them by mistake.
"""

import math

import pandas

from reference import published_numbers
from reference.published_numbers import PublishedNumber
from results import grouping
from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.tables.table import Table
from results.words import backend_order, field_words

TITLE = "Beside published numbers"
PAPER = "paper"
# what records call the metrics of published figures; those are in percent, records in shares
BEST, LAST = "test/best_accuracy", "test/accuracy"
_FEW_SEEDS = 3


def table(records: list[Record]) -> Table | None:
    """The published accuracies of every pair that there are records of, with ours or the reason why there is none.

    Args:
        records: the newest record of each cell.

    Returns:
        The table, or None where no record is of a pair with published figures.
    """
    records = grouping.Comparable.of(records)
    pairs = _pairs(records)
    if not pairs:
        return None
    shown, data = [], []
    for dataset, pair in pairs:
        for method in _methods(records, dataset, pair):
            published = [number for number in _numbers(dataset, pair) if number.method == method]
            groups = _groups(records, dataset, pair, method) or {"": []}
            for label, group in groups.items():
                row = _row(pair, method, label, published, group)
                shown.append(row[0])
                data.append({"dataset": dataset, **row[1]})
    sources = list(dict.fromkeys(number.source for pair in pairs for number in _numbers(*pair)))
    return Table(TITLE, pandas.DataFrame(shown), _note(sources), pandas.DataFrame(data))


def _note(sources: list[str]) -> str:
    return (
        f"Top-1 accuracy on the test images in percent. Published: {'; '.join(sources)}; like those, the compared figure of "
        "ours is the best epoch's on the test images, which flatters; the last epoch's stands beside it. Only records of "
        "scale `paper` are compared: mean ± standard error over seeds. Published tables name neither seeds nor spread for "
        "every figure, so a difference of a few tenths is none."
    )


def _numbers(dataset: str, pair: str) -> tuple[PublishedNumber, ...]:
    return published_numbers.find(dataset=dataset, pair=pair, metric="accuracy")


def _of(records: grouping.Comparable, dataset: str) -> list[Record]:
    return [r for r in records if r.suite == "distill" and grouping.counts(r) and r.cell.get("dataset") == dataset]


def _pairs(records: grouping.Comparable) -> list[tuple[str, str]]:
    """(data set, pair) with published accuracies, of which there are students at any scale."""
    numbers = published_numbers.find(metric="accuracy")
    published = dict.fromkeys((n.dataset, n.pair) for n in numbers if n.pair is not None)
    trained = {(r.cell.get("dataset"), r.cell.get("pair")) for r in records if r.suite == "distill"}
    return [pair for pair in published if pair in trained]


def _methods(records: grouping.Comparable, dataset: str, pair: str) -> list[str]:
    """Methods of the published table in its order, then our others."""
    ours = sorted({str(r.cell.get("method")) for r in _of(records, dataset) if r.cell.get("pair") == pair})
    # for images a student that is trained on labels alone is called sft here
    return list(dict.fromkeys([*(n.method for n in _numbers(dataset, pair)), *(m for m in ours if m != "sft")]))


def _groups(records: grouping.Comparable, dataset: str, pair: str, method: str) -> dict[str, list[Record]]:
    """Our runs of a published row by label: one for each scale, framework and choice of parameters."""
    kept = _of(records, dataset)
    if method == grouping.TEACHER:
        kept = [r for r in kept if r.cell.get("method") == method and r.cell.get("pair") == pair.partition(":")[0]]
    else:
        ours = "sft" if method == "student" else method
        kept = [r for r in kept if r.cell.get("method") == ours and r.cell.get("pair") == pair]
    labels = grouping.Labels.of(kept)

    def label(record: Record) -> str:
        if not _comparable(record):  # one line for all that are of no use here for the same reason
            return f"scale {_scale(record)}, {_extent(record)}"
        conditions = field_words(record, "scale", "precision", "teacher_weights")
        # data, teacher or settings where there are several
        apart = records.titles[id(record)].removeprefix(grouping.section_words(record))
        return f"{labels.row(record)}, {labels.column(record)}, {conditions}{apart}"

    return grouping.grouped(kept, label)


def _comparable(record: Record) -> bool:
    return _scale(record) == PAPER and not _stand_in(record)


def _row(
    pair: str, method: str, label: str, published: list[PublishedNumber], group: list[Record]
) -> tuple[dict[str, str], dict[str, object]]:
    """One line of the table, and its numbers."""
    values = [number.value for number in published]
    comparable = bool(group) and _comparable(group[0])
    best = [100 * value for value in grouping.finite(group, BEST)] if comparable else []
    last = [100 * value for value in grouping.finite(group, LAST)] if comparable else []
    difference = mean_and_error(best)[0] - values[0] if best and values else math.nan
    about = _about(group, comparable, label)
    shown = {
        "pair": pair,
        "method": method,
        "published": ", ".join(f"{value:.2f}" for value in values) or "not published",
        "ours, best epoch": _text(best),
        "difference": "—" if math.isnan(difference) else f"{difference:+.2f}",
        "ours, last epoch": _text(last),
        "about ours": about,
    }
    data = {
        "pair": pair,
        "method": method,
        "published": values[0] if values else math.nan,
        "comparable": comparable,
        "seeds": len(best),
        "best": mean_and_error(best)[0] if best else math.nan,
        "last": mean_and_error(last)[0] if last else math.nan,
        "difference": difference,
        "about": about,
    }
    return shown, data


def _about(group: list[Record], comparable: bool, label: str) -> str:
    """What ours are, or why there is no number."""
    if not group:
        return "not run"
    first = group[0]
    if not comparable:
        return f"**not comparable**: {label} ({', '.join(backend_order({r.backend for r in group}))})"
    ended = [r for r in group if r.status == Status.OK]
    remarks = [label, f"{len(ended)} seed" + "s" * (len(ended) != 1)]
    remarks += [f"{sum(r.status == s for r in group)} {s}" for s in dict.fromkeys(r.status for r in group) if s != "ok"]
    if len(ended) < _FEW_SEEDS and first.cell.get("method") != grouping.TEACHER:
        remarks.append("few")
    return ", ".join(remarks) + _declared(first)


def _declared(record: Record) -> str:
    """Which numbers of the training come from this project or the command line, not from a publication."""
    sources = record.details.get("sources") or {}
    parts = ""
    for source, text in (("command line", "from the command line"), ("declared by this project",) * 2):
        names = [name for name, of_name in sources.items() if str(of_name).startswith(source)]
        if names:
            parts += f"; {', '.join(names)}: {text}"
    return parts


def _extent(record: Record) -> str:
    """The data and epochs of a training that is not of the paper's scale, as far as its record says."""
    recipe, data = record.details.get("recipe") or {}, record.details.get("data") or {}
    parts = ["a stand-in, no image of the data set"] if _stand_in(record) else []
    if isinstance(data.get("train"), int) and not _stand_in(record):
        parts.append(f"{data['train']:,} training images of {data.get('classes')} classes")
    if recipe.get("epochs") is not None:
        parts.append(f"{recipe['epochs']} epochs" if recipe["epochs"] else "given weights")
    if recipe.get("steps"):
        parts.append(f"{recipe['steps']} steps an epoch")
    return ", ".join(parts) or "of unknown data and length"


def _scale(record: Record) -> str:
    return str(record.cell.get("scale"))


def _stand_in(record: Record) -> bool:
    return bool((record.details.get("data") or {}).get("stand_in"))


def _text(values: list[float]) -> str:
    if not values:
        return "—"
    mean, error = mean_and_error(values)
    return f"{mean:.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")
