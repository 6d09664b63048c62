"""The verdicts: does what the store holds still meet the baselines?

Agreement: an error fails above max(4 × the recorded one, a few eps of its dtype), and above what README promises.
Distillation: one-sided non-inferiority, paired by seed (`results.significance.noninferiority`); a mean loss above the margin
fails however wide the interval is, and so does a single seed that collapses. Both are held against the figures that were
recorded first as well, so that small losses that are recorded one after the other do not add up.
Time, on request only: a ratio to the framework's own loss fails above a factor of the recorded one, where machine and
samples allow to say so; otherwise it is ambiguous.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from results import metrics
from results.escaping import shortened
from results.gate import coverage, promises
from results.gate.baselines import MOST, SUITES, Baseline, Entry
from results.gate.coverage import Covered
from results.grouping import grouped
from results.records.record import Record, cell_title
from results.significance import noninferiority
from results.significance.noninferiority import Loss
from results.tables import yardstick
from results.tables.yardstick import Yardsticks

PASS, AMBIGUOUS, NEW = "pass", "ambiguous", "new"
REGRESSED, COLLAPSED, MISSING, STALE, TOO_FEW = "regressed", "collapsed", "missing", "stale", "too few"
FAILING = (REGRESSED, COLLAPSED, MISSING, STALE, TOO_FEW)
# why a record is not of the code that it is judged in, by its suite, backend and key
Stale = Mapping[tuple[str, str, str], str]

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
        verdict: PASS; REGRESSED; COLLAPSED (single seeds fell far); MISSING (no figure, or no baseline of what must be
            covered); STALE (a figure of other code); TOO_FEW (seeds to say anything); AMBIGUOUS (within the margin, but not
            surely); or NEW (a record that no baseline knows).
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
        return self.verdict in FAILING


def judge(
    records: list[Record],
    baselines: list[Baseline],
    *,
    other_seeds: Sequence[int] | None = None,
    seeds: int | None = None,
    covered: list[Covered] | None = None,
    stale: Stale | None = None,
) -> list[Verdict]:
    """A verdict for every metric of every baseline entry and of all that must be covered, and NEW for each other record.

    Args:
        records: one record of each cell, the one that counts.
        baselines: the files to hold against them.
        other_seeds: compare the mean of these seeds with the mean of the recorded ones, instead of seed with seed; cells
            that are recorded with a single seed (the teacher) are compared as ever.
        seeds: compare only the first so many of the recorded seeds.
        covered: what the baselines must hold; None for no list.
        stale: records that do not count, and why.
    """
    verdicts = [
        Verdict(row.suite, row.backend, cell_title(row.suite, row.backend, row.cell), metric, MISSING, reason=reason)
        for row, metric, reason in coverage.lacking(covered or [], baselines)
    ]
    new: list[Verdict] = []
    stale = stale or {}
    yardsticks = yardstick.Yardsticks(records)
    by_file = grouped(records, lambda record: (record.suite, record.backend))
    for baseline in baselines:
        of_file = by_file.get((baseline.suite, baseline.backend), [])
        by_cell = grouped(of_file, lambda record, of=baseline: of.identity(record.cell))
        for entry in baseline.entries:
            matching = by_cell.pop(baseline.identity(entry.cell), [])
            latest = matching[-1] if matching else None
            why_not = stale.get(_place(latest), "") if latest else ""
            if not entry.metrics:
                verdicts.append(Verdict(*_subject(baseline, entry, "—"), MISSING, reason="its baseline holds no figure"))
            for metric in entry.metrics:
                if baseline.by_seed:
                    asked = _Asked(other_seeds, seeds, stale)
                    verdicts.append(_seeds(baseline, entry, metric, matching, asked))
                elif why_not:
                    verdicts.append(Verdict(*_subject(baseline, entry, metric), STALE, reason=why_not))
                elif metric == yardstick.METRIC:
                    verdicts.append(_time(baseline, entry, latest, yardsticks))
                else:
                    verdicts.append(_error(baseline, entry, metric, latest))
        new += [_new(record) for record in of_file if baseline.identity(record.cell) in by_cell and _has_baseline(record)]
    return verdicts + new


@dataclasses.dataclass(frozen=True)
class _Asked:
    """Which seeds are to be compared, and which records do not count; see `judge`."""

    others: Sequence[int] | None
    first: int | None
    stale: Stale


def _place(record: Record) -> tuple[str, str, str]:
    return record.suite, record.backend, record.key


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
    recorded, first = entry.metrics[metric], entry.first_of(metric)
    dtype = str(entry.cell.get("dtype"))
    promised = promises.promised_error(metric, dtype)
    bound = min(error_bound(recorded, metric, dtype), error_bound(first, metric, dtype), promised)
    subject, limit = _subject(baseline, entry, metric), f"≤ {bound:.2e}"
    if record is None:
        return Verdict(*subject, MISSING, bound=limit, reason="the cell was not run")
    error = record.metrics.get(metric)
    if error is None:
        return Verdict(*subject, MISSING, bound=limit, reason=_why(record) or "the record lacks the metric")
    figure, impossible = _figure(error), _impossible(metric, error)
    if impossible:
        return Verdict(*subject, REGRESSED, figure, limit, impossible)
    if error > bound:
        drifted = f", first {first:.2e}" if first < recorded else ""
        return Verdict(*subject, REGRESSED, figure, limit, f"recorded {recorded:.2e}{drifted}; promised ≤ {promised:.0e}")
    if record.status != "ok":
        return Verdict(*subject, REGRESSED if record.status == "failed" else MISSING, figure, limit, _why(record))
    return Verdict(*subject, PASS, figure, limit)


def _impossible(metric: str, value: float) -> str:
    """Why a figure cannot be one of its metric; "" where it can."""
    row = metrics.find(metric)
    if not abs(value) <= MOST:
        return f"{row.title} is not finite"
    return "" if row.allows(value) else f"{row.title} is {row.range_words}"


def _figure(value: float) -> str:
    return f"{value:.2e}"


def _seeds(baseline: Baseline, entry: Entry, metric: str, records: list[Record], asked: _Asked) -> Verdict:
    """One metric of a cell that is recorded by seed."""
    subject = _subject(baseline, entry, metric)
    margin, confidence = metrics.margins()[metric], baseline.confidence
    every: dict[str, float] = entry.metrics[metric]
    recorded = {seed: every[seed] for seed in sorted(every, key=lambda seed: (len(seed), seed))[: asked.first]}
    unpaired = asked.others is not None and len(every) > 1
    seeds = [str(seed) for seed in asked.others] if unpaired else list(recorded)
    found = _Figures.of({str(record.cell.get("seed")): record for record in records}, seeds, metric, asked.stale)
    bound = f"worse by ≤ {margin:g}" + (f" ({confidence:.0%} confidence)" if len(every) > 1 else "")
    if found.impossible:
        return Verdict(*subject, REGRESSED, bound=bound, reason=_shortened(found.impossible))
    if not found.values:
        return Verdict(*subject, found.absent, bound=bound, reason=_shortened(found.lost) or "no seed is recorded")
    loss = _loss(metric, recorded, found.values, unpaired)
    drift = _loss(metric, {seed: entry.first_of(metric)[seed] for seed in recorded}, found.values, unpaired).mean
    if len(every) == 1:
        # A cell that is run with one seed only (the teacher) leaves nothing to test: the margin alone decides.
        verdict, reason, figure = PASS, "", f"worse by {loss.mean:+.4f}, 1 seed"
    else:
        verdict, reason, figure = noninferiority.decide(loss, margin, confidence)
    fallen = _fallen(metric, every, recorded, found.values, unpaired)
    if verdict != REGRESSED and fallen:
        verdict, reason = COLLAPSED, _shortened(fallen)
    elif verdict != REGRESSED and not loss.mean <= margin:
        verdict, reason = REGRESSED, "worse by more than the margin"
    elif verdict != REGRESSED and not drift <= margin:
        verdict, reason = REGRESSED, f"worse by {drift:+.4f} than the figures that were recorded first"
    elif verdict != REGRESSED and found.lost:
        verdict, reason = found.absent, _shortened(found.lost)
    elif verdict == AMBIGUOUS and len(found.values) < len(every):
        verdict, reason = TOO_FEW, f"{reason}; {len(every)} seeds are recorded"
    return Verdict(*subject, verdict, figure, bound, reason)


def _loss(metric: str, recorded: Mapping[str, float], found: Mapping[str, float], unpaired: bool) -> Loss:
    """How much worse the found figures are."""
    sign = metrics.find(metric).sign
    if unpaired:
        return noninferiority.unpaired(list(recorded.values()), list(found.values()), sign)
    return noninferiority.paired([sign * (recorded[seed] - value) for seed, value in found.items()])


def _fallen(
    metric: str, every: Mapping[str, float], recorded: Mapping[str, float], found: Mapping[str, float], unpaired: bool
) -> list[str]:
    """The seeds that lose more than noise does: against the same seed, or else against the recorded mean."""
    if len(every) < 2:
        return []
    limit, mean = promises.collapse(every.values(), metrics.margins()[metric]), statistics.fmean(recorded.values())
    losses = {
        seed: metrics.find(metric).sign * ((mean if unpaired else recorded[seed]) - value) for seed, value in found.items()
    }
    return [f"seed {seed} is worse by {loss:.4f} (noise: below {limit:.4f})" for seed, loss in losses.items() if loss > limit]


@dataclasses.dataclass
class _Figures:
    """What the seeds of a cell have of one metric.

    Attributes:
        values: by seed.
        lost: why other seeds have none.
        impossible: figures that the metric cannot have.
        absent: the verdict where figures are lost: MISSING, or STALE where all that is lost is.
    """

    values: dict[str, float] = dataclasses.field(default_factory=dict)
    lost: list[str] = dataclasses.field(default_factory=list)
    impossible: list[str] = dataclasses.field(default_factory=list)
    absent: str = MISSING

    @classmethod
    def of(cls, by_seed: Mapping[str, Record], seeds: list[str], metric: str, stale: Stale) -> "_Figures":
        found, of_other_code = cls(), 0
        for seed in seeds:
            record = by_seed.get(seed)
            why_not = stale.get(_place(record), "") if record else ""
            value = record.metrics.get(metric) if record is not None and record.status == "ok" else None
            if why_not:
                of_other_code += 1
                found.lost.append(f"seed {seed} {why_not}")
            elif value is None or value != value or value in (float("inf"), float("-inf")):
                found.lost.append(f"seed {seed} {(_why(record) or 'lacks the metric') if record else 'was not run'}")
            elif reason := _impossible(metric, value):
                found.impossible.append(f"seed {seed} has {_figure(value)}: {reason}")
            else:
                found.values[seed] = value
        if found.lost and len(found.lost) == of_other_code:
            found.absent = STALE
        return found


def _time(baseline: Baseline, entry: Entry, record: Record | None, yardsticks: Yardsticks) -> Verdict:
    recorded = entry.metrics[yardstick.METRIC]
    subject, bound = _subject(baseline, entry, yardstick.METRIC), f"≤ {TIME_FACTOR * recorded:.2f} × own KL"
    if record is None:
        return Verdict(*subject, MISSING, bound=bound, reason="the cell was not run")
    if record.status != "ok":
        verdict = REGRESSED if record.status == "failed" else MISSING  # failed: its check disagreed, the time is void
        return Verdict(*subject, verdict, "void", bound, _why(record))
    ratio = yardsticks.ratio(record)
    if ratio is not None and (impossible := _impossible(yardstick.METRIC, ratio.value)):
        return Verdict(*subject, REGRESSED, "void", bound, impossible)
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
    return "" if record.status == "ok" else record.status + (f": {shortened(record.message)}" if record.message else "")


def _shortened(reasons: list[str], most: int = 3) -> str:
    rest = len(reasons) - most
    return "; ".join(reasons[:most]) + (f"; and {rest} more" if rest > 0 else "")


def counts(verdicts: list[Verdict]) -> dict[str, int]:
    """How many verdicts there are of each kind, the gravest kind first."""
    return {name: sum(v.verdict == name for v in verdicts) for name in (*FAILING, AMBIGUOUS, NEW, PASS)}


def compared(verdicts: list[Verdict]) -> int:
    """How many figures were held against a bound, and met it or may have."""
    return sum(verdict.verdict in (PASS, AMBIGUOUS) for verdict in verdicts)


def fails(verdicts: list[Verdict]) -> bool:
    """Whether the gate exits 1; it does where nothing was compared."""
    return not compared(verdicts) or any(verdict.fails for verdict in verdicts)
