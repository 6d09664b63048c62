"""The verdicts: does what the store holds still meet the baselines?

Agreement: an error fails above max(4 × the recorded one, a few eps of its dtype).
Distillation: one-sided non-inferiority, paired by seed. With d the loss of quality of each seed against its baseline
(positive is worse), mean m, standard error s and Student's t at the stated confidence with n - 1 degrees of freedom:
pass where m + t·s ≤ margin, regressed where m - t·s > margin, otherwise ambiguous: too few seeds to say.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from results import compare
from results.baselines import Baseline, Entry
from results.figures import mean_and_error
from results.records import Record, cell_title

PASS, REGRESSED, AMBIGUOUS, MISSING, NEW = "pass", "regressed", "ambiguous", "missing", "new"

# Unit roundoffs doubled (the gap above 1). Half types are computed in float32, and only the gradient is stored in them.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
_FEW = 4
_FACTOR = 4

_MANY_SEEDS = 1000


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the gate says of one baseline entry and metric.

    Attributes:
        suite, backend, cell: where; the cell's title.
        metric: which figure.
        verdict: PASS, REGRESSED, AMBIGUOUS, MISSING, or NEW (a record that no baseline knows).
        figure: what was measured, as text.
        bound: what it had to meet, as text.
        reason: why, for all but PASS.
    """

    suite: str
    backend: str
    cell: str
    metric: str
    verdict: str
    figure: str = "—"
    bound: str = "—"
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether this verdict makes the gate exit 1."""
        return self.verdict in (REGRESSED, MISSING)


def judge(records: list[Record], baselines: list[Baseline]) -> list[Verdict]:
    """A verdict for every metric of every baseline entry, and NEW for each record without an entry.

    Args:
        records: the newest record of each cell (`records.newest`).
        baselines: the files to hold against them.
    """
    found: list[Verdict] = []
    used: set[int] = set()
    for baseline in baselines:
        index: dict[str, list[Record]] = {}
        for record in records:
            if (record.suite, record.backend) == (baseline.suite, baseline.backend):
                index.setdefault(baseline.identity(record.cell), []).append(record)
        for entry in baseline.entries:
            matching = index.get(baseline.identity(entry.cell), [])
            used.update(id(record) for record in matching)
            for metric in entry.metrics:
                if baseline.by_seed:
                    found.append(_seeds(baseline, entry, metric, matching))
                else:
                    found.append(_error(baseline, entry, metric, matching[-1] if matching else None))
    files = {(baseline.suite, baseline.backend) for baseline in baselines}
    for record in records:
        if id(record) not in used and (record.suite, record.backend) in files and record.suite in Baseline.METRICS:
            found.append(
                Verdict(record.suite, record.backend, record.title, "—", NEW, reason="no baseline has this cell")
            )
    return found


def error_bound(recorded: float, metric: str, dtype: str) -> float:
    """Largest error that passes: max(4 × recorded, 4 eps of the type that the figure is stored in)."""
    stored = "float32" if metric.endswith("value_error") and dtype in ("bfloat16", "float16") else dtype
    return max(_FACTOR * recorded, _FEW * EPS.get(stored, EPS["float32"]))


def _error(baseline: Baseline, entry: Entry, metric: str, record: Record | None) -> Verdict:
    recorded = entry.metrics[metric]
    bound = error_bound(recorded, metric, str(entry.cell.get("dtype")))
    place = (baseline.suite, baseline.backend, cell_title(baseline.suite, baseline.backend, entry.cell), metric)
    limit = f"≤ {bound:.2e}"
    if record is None:
        return Verdict(*place, MISSING, bound=limit, reason="the cell was not run")
    error = record.metrics.get(metric)
    if error is None:
        return Verdict(*place, MISSING, bound=limit, reason=_why(record) or "the record lacks the metric")
    figure = f"{error:.2e}"
    if not error <= bound:  # also true of nan
        return Verdict(*place, REGRESSED, figure, limit, f"recorded {recorded:.2e}")
    if record.status not in ("ok", "failed"):
        return Verdict(*place, MISSING, figure, limit, _why(record))
    if record.status == "failed":
        return Verdict(*place, REGRESSED, figure, limit, _why(record))
    return Verdict(*place, PASS, figure, limit)


def _seeds(baseline: Baseline, entry: Entry, metric: str, records: list[Record]) -> Verdict:
    place = (baseline.suite, baseline.backend, cell_title(baseline.suite, baseline.backend, entry.cell), metric)
    margin = baseline.margins[metric]
    recorded: dict[str, float] = entry.metrics[metric]
    by_seed = {str(record.cell.get("seed")): record for record in records}
    sign = 1.0 if compare.higher_is_better(metric) else -1.0
    losses, lost = [], []
    for seed, value in recorded.items():
        record = by_seed.get(seed)
        new = record.metrics.get(metric) if record is not None and record.status == "ok" else None
        if new is None or not math.isfinite(new):
            lost.append(f"seed {seed} {(_why(record) or 'lacks the metric') if record else 'was not run'}")
        else:
            losses.append(sign * (value - new))
    bound = f"worse by ≤ {margin:g} ({baseline.confidence:.0%} confidence)"
    if not losses:
        return Verdict(*place, MISSING, bound=bound, reason=_shortened(lost))
    mean, _ = mean_and_error(losses)
    worst = f"worse by {mean:+.4f}, {len(losses)} seeds"
    if len(recorded) == 1:
        # A cell that is run with one seed only (the teacher) leaves nothing to test: the margin alone decides.
        verdict = PASS if mean <= margin else REGRESSED
        why = "" if verdict == PASS else "worse by more than the margin"
        return Verdict(*place, verdict, f"worse by {mean:+.4f}, 1 seed", f"worse by ≤ {margin:g}", why)
    verdict, reason, figure = non_inferiority(losses, margin, baseline.confidence)
    if lost and verdict != REGRESSED:
        return Verdict(*place, MISSING, worst, bound, _shortened(lost))
    return Verdict(*place, verdict, figure, bound, reason)


def non_inferiority(losses: list[float], margin: float, confidence: float) -> tuple[str, str, str]:
    """One-sided paired test on the losses of quality (positive is worse).

    Returns:
        Verdict, its reason and the figure as text.
    """
    mean, error = mean_and_error(losses)
    count = len(losses)
    if count < 2:
        return AMBIGUOUS, "one seed has no spread; at least 2 are needed", f"worse by {mean:+.4f}, 1 seed"
    slack = quantile(confidence, count - 1) * error
    figure = f"worse by {mean:+.4f} (between {mean - slack:+.4f} and {mean + slack:+.4f}), {count} seeds"
    if mean + slack <= margin:
        return PASS, "", figure
    if mean - slack > margin:
        return REGRESSED, "worse by more than the margin", figure
    needed = seeds_needed(mean, error * math.sqrt(count), margin, confidence)
    return AMBIGUOUS, f"too few seeds to say; {needed} would do", figure


def seeds_needed(mean: float, deviation: float, margin: float, confidence: float) -> str:
    """How many seeds would decide, if mean and standard deviation stayed what they are."""
    for count in range(2, _MANY_SEEDS + 1):
        if quantile(confidence, count - 1) * deviation / math.sqrt(count) < abs(margin - mean):
            return str(count)
    return f"more than {_MANY_SEEDS}"


@functools.cache
def quantile(confidence: float, freedom: int) -> float:
    """Student's t quantile."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, confidence))


def _why(record: Record) -> str:
    return "" if record.status == "ok" else record.status + (f": {record.message[:200]}" if record.message else "")


def _shortened(reasons: list[str], most: int = 3) -> str:
    rest = len(reasons) - most
    return "; ".join(reasons[:most]) + (f"; and {rest} more" if rest > 0 else "")


def counts(verdicts: list[Verdict]) -> dict[str, int]:
    """How many of each verdict, in order of gravity."""
    return {name: sum(v.verdict == name for v in verdicts) for name in (REGRESSED, MISSING, AMBIGUOUS, NEW, PASS)}


def fails(verdicts: list[Verdict]) -> bool:
    """Whether the gate exits 1."""
    return any(verdict.fails for verdict in verdicts)
