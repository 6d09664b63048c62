"""The main findings of a store in a few sentences, for the head of the report; every figure is from its tables."""

import math
from collections import Counter

import pandas

from reference import claims
from results import grouping
from results.figures import error_budget
from results.records.record import Record, Status
from results.tables import traces
from results.tables.table import Table
from results.tables.yardstick import Yardsticks
from results.words import backend_order

# sections of students that get a sentence
_MOST_SECTIONS = 6


def agreement(records: list[Record]) -> list[str]:
    """How many agreement cells keep their bounds in each backend, and how near the worst one comes to its bound."""
    groups = grouping.grouped([r for r in records if r.suite == "agreement"], lambda r: r.backend)
    parts = []
    for backend in backend_order(groups):
        group = groups[backend]
        good = sum(record.status == Status.OK for record in group)
        counted = f"{good} of {len(group)}" if good == len(group) else f"**{good} of {len(group)}**"
        shares = [share for share in map(error_budget.share, group) if math.isfinite(share)]
        worst = f" (largest error {error_budget.share_text(max(shares))} of its bound)" if shares else ""
        parts.append(f"{backend} {counted}{worst}")
    return [f"**Errors against the reference**: cells within their bounds: {', '.join(parts)}."] if parts else []


def frameworks(records: list[Record]) -> list[str]:
    """Whether the same training steps give the same figures in two frameworks."""
    table = traces.table(records)
    if table is None:
        return []
    verdicts = Counter(str(verdict).strip("*") for verdict in table.frame["verdict"])
    judged = sum(verdicts[verdict.strip("*")] for verdict in (traces.PASS, traces.ROUNDING, traces.FAIL))
    counted = f"{verdicts[traces.PASS]} of {judged}"
    text = counted if not verdicts[traces.FAIL.strip("*")] else f"**{counted}**"
    rest = f", in {verdicts[traces.ROUNDING]} as far as their own rounding" if verdicts[traces.ROUNDING] else ""
    return [f"**Frameworks against each other**: the same first training steps agree within their bar in {text} pairs{rest}."]


def speed(records: list[Record]) -> list[str]:
    """The loss' time as a multiple of the framework's own KL."""
    yardsticks = Yardsticks(records)
    timed = [(record, ratio.value) for record in records if (ratio := yardsticks.ratio(record)) is not None]
    groups = grouping.grouped(timed, lambda pair: pair[0].backend)
    parts = []
    for backend in backend_order(groups):
        largest = max((record for record, _ in groups[backend]), key=_size)
        at_largest = [ratio for record, ratio in groups[backend] if _size(record) == _size(largest)]
        others = [ratio for record, ratio in groups[backend] if _size(record) != _size(largest)]
        part = f"{backend} {_span(at_largest)} at {largest.cell.get('rows')}×{largest.cell.get('classes')}"
        parts.append(part + (f", {_span(others)} where there is less to do" if others else ""))
    what = "forward and backward, as a multiple of the framework's own KL"
    return [f"**Time of the loss**, {what}: {'; '.join(parts)}."] if parts else []


def students(against: list[Table]) -> list[str]:
    """The best method of each section, and which methods differ from the baseline by more than noise.

    Args:
        against: what `results.tables.paired.tables` returned.
    """
    sentences = []
    for table in against:
        if table.data is None or "p_holm" not in table.data or table.data.empty:
            continue
        baseline, _, section = table.title.removeprefix("Against ").partition(": ")
        parts = []
        for column, rows in table.data.groupby("column", sort=False):
            ranked = rows.dropna(subset="mean").sort_values("difference", ascending=False, na_position="last")
            if ranked.empty:
                continue
            # Positive differences are better whatever the metric; the baseline itself has none and stands at zero.
            best = ranked.iloc[0] if ranked.iloc[0]["difference"] > 0 else _row(rows, baseline, ranked)
            parts.append(f"{column} **{best['method']}** ({_mean(best)})")
        outcomes = table.data[table.data["method"] != baseline].groupby("outcome", sort=False)
        named = {name: _named(rows) for name, rows in outcomes}
        said = [f"{direction} {named[name]}" for name, direction in (("win", "better"), ("loss", "worse")) if name in named]
        untested = "too few seeds to tell" if set(named) <= {"open"} else "nothing differs by more than noise"
        rest = "; ".join(said) or untested
        sentences.append(f"**{section}**: best on {', '.join(parts)}. Against {baseline} (Holm, 5 %): {rest}.")
    more = len(sentences) - _MOST_SECTIONS
    return sentences[:_MOST_SECTIONS] + ([f"{more} more pairs and data sets are in the tables below."] if more > 0 else [])


def left_out(records: grouping.Comparable) -> list[str]:
    """What the report does not show, since other code computed it."""
    counted = [f"{count} of {section}" if section else f"{count} others" for section, count in records.left_out.items()]
    return [f"**Left out**, computed by other code than the newest: {'; '.join(counted)}."] if counted else []


def endings(records: list[Record]) -> list[str]:
    """Cells that did not end well, by status."""
    other = Counter(str(record.status) for record in records if record.status != Status.OK)
    counted = ", ".join(f"{count} {status}" for status, count in other.most_common())
    return [f"**Cells that did not end ok**: {counted}, of {len(records)}."] if other else []


def of_claims(checked: list[tuple[claims.Claim, claims.Finding]]) -> list[str]:
    """How many claims there are of each verdict."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in _verdicts(checked).items())
    return [f"**Claims** of the paper, its code and the article: {len(checked)} checked: {counts}."]


def _verdicts(checked: list[tuple[claims.Claim, claims.Finding]]) -> dict[str, int]:
    plural = {claims.HOLDS: "hold", claims.CONDITION: "hold with a condition", claims.FAILS: "fail"}
    return {plural[verdict]: count for verdict, count in claims.counts(checked).items()}


def _size(record: Record) -> int:
    return int(record.cell.get("rows") or 0) * int(record.cell.get("classes") or 0)


def _span(ratios: list[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"{low} ×" if low == high else f"{low} to {high} ×"


def _row(rows: pandas.DataFrame, baseline: str, ranked: pandas.DataFrame) -> pandas.Series:
    """The baseline's own row, or the first of the ranked ones where it was not run there."""
    of_baseline = rows[rows["method"] == baseline]
    return ranked.iloc[0] if of_baseline.empty else of_baseline.iloc[0]


def _mean(row: pandas.Series) -> str:
    error = row["standard_error"]
    return f"{row['mean']:.4f}" + (f" ± {error:.4f}" if math.isfinite(error) else "")


def _named(rows: pandas.DataFrame) -> str:
    """Methods with the backends in which they differ: "sft (torch, jax)"."""
    return ", ".join(f"{method} ({', '.join(group['column'])})" for method, group in rows.groupby("method", sort=False))
