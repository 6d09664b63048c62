"""The verdicts: does what the store holds still meet the baselines?

Agreement: an error fails above max(4 × the recorded one, a few eps of its dtype).
Distillation: one-sided non-inferiority, paired by seed (`results.significance.noninferiority`).
Time, on request only: a ratio to the framework's own loss fails above a factor of the recorded one, where machine and
samples allow to say so; otherwise it is ambiguous.
"""

import dataclasses
import math
from collections.abc import Sequence

from results.gate.baselines import Baseline, Entry
from results.metrics import higher_is_better
from results.records.record import Record, cell_title
from results.significance import noninferiority
from results.tables import yardstick

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
    found: list[Verdict] = []
    used: set[int] = set()
    ratios = yardstick.ratios(records)
    for baseline in baselines:
        index: dict[str, list[Record]] = {}
        for record in records:
            if (record.suite, record.backend) == (baseline.suite, baseline.backend):
                index.setdefault(baseline.identity(record.cell), []).append(record)
        for entry in baseline.entries:
            matching = index.get(baseline.identity(entry.cell), [])
            used.update(id(record) for record in matching)
            latest = matching[-1] if matching else None
            for metric in entry.metrics:
                if baseline.by_seed:
                    found.append(_seeds(baseline, entry, metric, matching, other_seeds))
                elif metric == yardstick.METRIC:
                    found.append(_time(baseline, entry, latest, ratios))
                else:
                    found.append(_error(baseline, entry, metric, latest))
    files = {(baseline.suite, baseline.backend) for baseline in baselines}
    for record in records:
        known = id(record) in used or (record.suite == "loss" and yardstick.is_yardstick(record))
        if not known and (record.suite, record.backend) in files and record.suite in Baseline.METRICS:
            found.append(Verdict(record.suite, record.backend, record.title, "—", NEW, reason="no baseline has this cell"))
    return found


def error_bound(recorded: float, metric: str, dtype: str) -> float:
    """Largest error that passes: max(4 × recorded, 4 eps of the type that the figure is stored in)."""
    stored = "float32" if metric.endswith("value_error") and dtype in ("bfloat16", "float16") else dtype
    return max(_FACTOR * recorded, _FEW * EPS.get(stored, EPS["float32"]))


def _place(baseline: Baseline, entry: Entry, metric: str) -> tuple[str, str, str, str]:
    return baseline.suite, baseline.backend, cell_title(baseline.suite, baseline.backend, entry.cell), metric


def _error(baseline: Baseline, entry: Entry, metric: str, record: Record | None) -> Verdict:
    recorded = entry.metrics[metric]
    bound = error_bound(recorded, metric, str(entry.cell.get("dtype")))
    place, limit = _place(baseline, entry, metric), f"≤ {bound:.2e}"
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


def _seeds(baseline: Baseline, entry: Entry, metric: str, records: list[Record], other_seeds: Sequence[int] | None) -> Verdict:
    place = _place(baseline, entry, metric)
    margin, confidence = baseline.margins[metric], baseline.confidence
    recorded: dict[str, float] = entry.metrics[metric]
    by_seed = {str(record.cell.get("seed")): record for record in records}
    unpaired = other_seeds is not None and len(recorded) > 1
    figures, lost = _figures(by_seed, [str(seed) for seed in other_seeds] if unpaired else list(recorded), metric)
    bound = f"worse by ≤ {margin:g} ({confidence:.0%} confidence)"
    if not figures:
        return Verdict(*place, MISSING, bound=bound, reason=_shortened(lost))
    sign = 1.0 if higher_is_better(metric) else -1.0
    if unpaired:
        loss = noninferiority.unpaired(list(recorded.values()), list(figures.values()), sign)
    else:
        loss = noninferiority.paired([sign * (recorded[seed] - value) for seed, value in figures.items()])
    if len(recorded) == 1:
        # A cell that is run with one seed only (the teacher) leaves nothing to test: the margin alone decides.
        verdict = PASS if loss.mean <= margin else REGRESSED
        why = "" if verdict == PASS else "worse by more than the margin"
        return Verdict(*place, verdict, f"worse by {loss.mean:+.4f}, 1 seed", f"worse by ≤ {margin:g}", why)
    verdict, reason, figure = noninferiority.decide(loss, margin, confidence)
    if lost and verdict != REGRESSED:
        return Verdict(*place, MISSING, figure, bound, _shortened(lost))
    return Verdict(*place, verdict, figure, bound, reason)


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


def _time(baseline: Baseline, entry: Entry, record: Record | None, ratios: dict[int, tuple[float, float]]) -> Verdict:
    recorded = entry.metrics[yardstick.METRIC]
    place, bound = _place(baseline, entry, yardstick.METRIC), f"≤ {TIME_FACTOR * recorded:.2f} × own KL"
    if record is None:
        return Verdict(*place, MISSING, bound=bound, reason="the cell was not run")
    if record.status != "ok":
        verdict = REGRESSED if record.status == "failed" else MISSING  # failed: its check disagreed, the time is void
        return Verdict(*place, verdict, "void", bound, _why(record))
    if id(record) not in ratios:
        return Verdict(*place, MISSING, bound=bound, reason="the framework's own loss was not timed beside it")
    ratio, noise = ratios[id(record)]
    figure = f"{ratio:.2f} × own KL"
    if ratio <= TIME_FACTOR * recorded:
        return Verdict(*place, PASS, figure, bound)
    here = yardstick.machine(record)
    if here != baseline.machine:
        return Verdict(*place, AMBIGUOUS, figure, bound, f"another machine: {here}; recorded on {baseline.machine}")
    if not noise <= QUIET:
        return Verdict(*place, AMBIGUOUS, figure, bound, f"noisy machine: the samples spread over {noise:.0%}")
    return Verdict(*place, REGRESSED, figure, bound, f"recorded {recorded:.2f}")


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
