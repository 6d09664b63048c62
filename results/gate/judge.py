"""The verdicts: does what the store holds still meet the baselines?

Agreement: an error fails above max(4 × the recorded one, a few eps of its dtype).
Distillation: one-sided non-inferiority, paired by seed (`results.significance.noninferiority`).
Time, on request only: a ratio to the framework's own loss fails above a factor of the recorded one, where machine and
samples allow to say so; otherwise it is ambiguous.
"""

import dataclasses
import math
from collections.abc import Sequence

from results import metrics
from results.gate.baselines import SUITES, Baseline, Entry
from results.grouping import grouped
from results.records.record import Record, cell_title
from results.significance import noninferiority
from results.tables import yardstick
from results.tables.yardstick import Yardsticks

PASS, REGRESSED, AMBIGUOUS, MISSING, NEW = "pass", "regressed", "ambiguous", "missing", "new"

# Unit roundoffs doubled (the gap above 1). Half types are computed in float32, and only the gradient is stored in them.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
_FEW = 4
_FACTOR = 4

# The same code on the same two cores has shown ratios 1.6 apart under load, and 1.1 apart without.
TIME_FACTOR = 1.5
# Above this spread of the samples a machine counts as noisy, and its times decide nothing.
QUIET = 0.1


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


def judge(records: list[Record], baselines: list[Baseline], *, other_seeds: Sequence[int] | None = None) -> list[Verdict]:
    """A verdict for every metric of every baseline entry, and NEW for each record without an entry.

    Args:
        records: the newest record of each cell (`records.newest`).
        baselines: the files to hold against them.
        other_seeds: compare the mean of these seeds with the mean of the recorded ones, instead of seed with seed; cells
            that are recorded with a single seed (the teacher) are compared as ever.
    """
    verdicts: list[Verdict] = []
    new: list[Verdict] = []
    yardsticks = yardstick.Yardsticks(records)
    by_file = grouped(records, lambda record: (record.suite, record.backend))
    for baseline in baselines:
        of_file = by_file.get((baseline.suite, baseline.backend), [])
        by_cell = grouped(of_file, lambda record, of=baseline: of.identity(record.cell))
        for entry in baseline.entries:
            matching = by_cell.pop(baseline.identity(entry.cell), [])
            latest = matching[-1] if matching else None
            for metric in entry.metrics:
                if baseline.by_seed:
                    verdicts.append(_seeds(baseline, entry, metric, matching, other_seeds))
                elif metric == yardstick.METRIC:
                    verdicts.append(_time(baseline, entry, latest, yardsticks))
                else:
                    verdicts.append(_error(baseline, entry, metric, latest))
        new += [_new(record) for record in of_file if baseline.identity(record.cell) in by_cell and _has_baseline(record)]
    return verdicts + new


def _has_baseline(record: Record) -> bool:
    """Whether a record is of a kind that baselines are made of."""
    return record.suite in SUITES and not (record.suite == "loss" and yardstick.is_yardstick(record))


def _new(record: Record) -> Verdict:
    return Verdict(record.suite, record.backend, record.title, "—", NEW, reason="no baseline has this cell")


def error_bound(recorded: float, metric: str, dtype: str) -> float:
    """Largest error that passes: max(4 × recorded, 4 eps of the type that the figure is stored in)."""
    stored = "float32" if metric.endswith("value_error") and dtype in ("bfloat16", "float16") else dtype
    return max(_FACTOR * recorded, _FEW * EPS.get(stored, EPS["float32"]))


def _subject(baseline: Baseline, entry: Entry, metric: str) -> tuple[str, str, str, str]:
    return baseline.suite, baseline.backend, cell_title(baseline.suite, baseline.backend, entry.cell), metric


def _error(baseline: Baseline, entry: Entry, metric: str, record: Record | None) -> Verdict:
    recorded = entry.metrics[metric]
    bound = error_bound(recorded, metric, str(entry.cell.get("dtype")))
    subject, limit = _subject(baseline, entry, metric), f"≤ {bound:.2e}"
    if record is None:
        return Verdict(*subject, MISSING, bound=limit, reason="the cell was not run")
    error = record.metrics.get(metric)
    if error is None:
        return Verdict(*subject, MISSING, bound=limit, reason=_why(record) or "the record lacks the metric")
    figure = f"{error:.2e}"
    if not error <= bound:  # also true of nan
        return Verdict(*subject, REGRESSED, figure, limit, f"recorded {recorded:.2e}")
    if record.status not in ("ok", "failed"):
        return Verdict(*subject, MISSING, figure, limit, _why(record))
    if record.status == "failed":
        return Verdict(*subject, REGRESSED, figure, limit, _why(record))
    return Verdict(*subject, PASS, figure, limit)


def _seeds(baseline: Baseline, entry: Entry, metric: str, records: list[Record], other_seeds: Sequence[int] | None) -> Verdict:
    subject = _subject(baseline, entry, metric)
    margin, confidence = baseline.margins[metric], baseline.confidence
    recorded: dict[str, float] = entry.metrics[metric]
    by_seed = {str(record.cell.get("seed")): record for record in records}
    unpaired = other_seeds is not None and len(recorded) > 1
    figures, lost = _figures(by_seed, [str(seed) for seed in other_seeds] if unpaired else list(recorded), metric)
    bound = f"worse by ≤ {margin:g} ({confidence:.0%} confidence)"
    if not figures:
        return Verdict(*subject, MISSING, bound=bound, reason=_shortened(lost))
    sign = metrics.find(metric).sign
    if unpaired:
        loss = noninferiority.unpaired(list(recorded.values()), list(figures.values()), sign)
    else:
        loss = noninferiority.paired([sign * (recorded[seed] - value) for seed, value in figures.items()])
    if len(recorded) == 1:
        # A cell that is run with one seed only (the teacher) leaves nothing to test: the margin alone decides.
        verdict = PASS if loss.mean <= margin else REGRESSED
        why = "" if verdict == PASS else "worse by more than the margin"
        return Verdict(*subject, verdict, f"worse by {loss.mean:+.4f}, 1 seed", f"worse by ≤ {margin:g}", why)
    verdict, reason, figure = noninferiority.decide(loss, margin, confidence)
    if lost and verdict != REGRESSED:
        return Verdict(*subject, MISSING, figure, bound, _shortened(lost))
    return Verdict(*subject, verdict, figure, bound, reason)


def _figures(by_seed: dict[str, Record], seeds: list[str], metric: str) -> tuple[dict[str, float], list[str]]:
    """The finite figures of these seeds, and why the others have none."""
    figures, lost = {}, []
    for seed in seeds:
        record = by_seed.get(seed)
        value = record.metrics.get(metric) if record is not None and record.status == "ok" else None
        if value is None or not math.isfinite(value):
            lost.append(f"seed {seed} {(_why(record) or 'lacks the metric') if record else 'was not run'}")
        else:
            figures[seed] = value
    return figures, lost


def _time(baseline: Baseline, entry: Entry, record: Record | None, yardsticks: Yardsticks) -> Verdict:
    recorded = entry.metrics[yardstick.METRIC]
    subject, bound = _subject(baseline, entry, yardstick.METRIC), f"≤ {TIME_FACTOR * recorded:.2f} × own KL"
    if record is None:
        return Verdict(*subject, MISSING, bound=bound, reason="the cell was not run")
    if record.status != "ok":
        verdict = REGRESSED if record.status == "failed" else MISSING  # failed: its check disagreed, the time is void
        return Verdict(*subject, verdict, "void", bound, _why(record))
    ratio = yardsticks.ratio(record)
    if ratio is None:
        return Verdict(*subject, MISSING, bound=bound, reason="the framework's own loss was not timed beside it")
    figure = f"{ratio.value:.2f} × own KL"
    if ratio.value <= TIME_FACTOR * recorded:
        return Verdict(*subject, PASS, figure, bound)
    here = yardstick.machine(record)
    if here != baseline.machine:
        return Verdict(*subject, AMBIGUOUS, figure, bound, f"another machine: {here}; recorded on {baseline.machine}")
    if not ratio.noise <= QUIET:
        return Verdict(*subject, AMBIGUOUS, figure, bound, f"noisy machine: the samples spread over {ratio.noise:.0%}")
    return Verdict(*subject, REGRESSED, figure, bound, f"recorded {recorded:.2f}")


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
