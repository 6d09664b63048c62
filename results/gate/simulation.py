"""How often the gate's test of accuracy is wrong: false alarms, power, undecided runs and collapsed seeds, by simulation.

The noise is measured, not assumed: the baselines of two backends hold figures of the same seed, the same batches and
the same initial weights, so that their differences are what another rounding alone does to an unchanged method. Means of
such differences are taken out; a backend that really is worse must not count as noise.
"""

import dataclasses
import math
from itertools import combinations

import numpy as np
import pandas

from results.gate import promises
from results.gate.baselines import Baseline, Entry
from results.records.record import cell_title, identity
from results.significance.noninferiority import quantile
from results.tables.table import Table

DRAWS = 20_000
# drop of the power's column, in margins
DROP = 2.0
# what the one seed loses that has collapsed: of a student of the digits a fifth
FALL = 0.2
# freedom of the heavy-tailed noise that is tried beside the normal one
_TAILS = 4


@dataclasses.dataclass(frozen=True)
class Rates:
    """Shares of simulated gates of one entry.

    Attributes:
        false_alarms: regressed or collapsed, though nothing changed.
        collapses: the part of them in which a seed seemed to have collapsed.
        passes: pass, where nothing changed; the others are ambiguous.
        power: regressed, where the figures dropped by DROP margins.
        found: regressed or collapsed, where a single seed fell by FALL.
    """

    false_alarms: float
    collapses: float
    passes: float
    power: float
    found: float


def verdicts(losses: np.ndarray, margin: float, confidence: float, limit: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """The gate's rule on the rows of [runs, seeds] at once: which pass, which fail.

    Args:
        losses: of each seed against its recorded figure.
        margin, confidence: of the test.
        limit: loss from which on a single seed has collapsed.
    """
    seeds = losses.shape[1]
    mean = losses.mean(axis=1)
    slack = quantile(confidence, seeds - 1) * losses.std(axis=1, ddof=1) / math.sqrt(seeds)
    fell = losses.max(axis=1) > limit
    return (mean + slack <= margin) & ~fell, (mean > margin) | fell


def rates(
    seeds: int,
    noise: float,
    margin: float,
    confidence: float,
    *,
    limit: float = math.inf,
    tails: float = math.inf,
    draws: int = DRAWS,
) -> Rates:
    """Simulate gates of one entry.

    Args:
        seeds: how many.
        noise: standard deviation of a seed's difference to its recorded figure where nothing changed.
        margin, confidence: of the test.
        limit: loss from which on a single seed has collapsed.
        tails: degrees of freedom of Student-distributed noise; infinite for normal noise.
        draws: simulated gates.
    """
    generator = np.random.default_rng(0)
    if math.isinf(tails):
        unit = generator.standard_normal((draws, seeds))
    else:
        unit = generator.standard_t(tails, (draws, seeds)) * math.sqrt((tails - 2) / tails)
    losses = noise * unit
    passed, alarms = verdicts(losses, margin, confidence, limit)
    _, regressed = verdicts(losses + DROP * margin, margin, confidence, limit)
    fallen = losses.copy()
    fallen[:, 0] += FALL
    _, found = verdicts(fallen, margin, confidence, limit)
    shares = (alarms, losses.max(axis=1) > limit, passed, regressed, found)
    return Rates(*(float(share.mean()) for share in shares))


def noise_of(baselines: list[Baseline], metric: str = "test/accuracy") -> dict[str, float]:
    """Largest standard deviation of paired differences between two backends, by the cell's identity.

    Cells that only one backend has, or with one seed, are left out.
    """
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for baseline in baselines:
        for entry in _entries(baseline, metric):
            figures.setdefault(_cell(entry), {})[baseline.backend] = entry.metrics[metric]
    noise: dict[str, float] = {}
    for cell, by_backend in figures.items():
        for first, second in combinations(by_backend.values(), 2):
            differences = [first[seed] - second[seed] for seed in first if seed in second]
            if len(differences) > 1:
                noise[cell] = max(noise.get(cell, 0.0), float(np.std(differences, ddof=1)))
    return noise


def table(baselines: list[Baseline], metric: str = "test/accuracy", draws: int = DRAWS) -> Table:
    """The rates of every entry with several seeds, and of a whole gate.

    Raises:
        ValueError: no cell is in the baselines of two backends, so that nothing says how large the noise is.
    """
    noise = noise_of(baselines, metric)
    if not noise:
        raise ValueError("The noise is taken from cells in the distill baselines of two backends; there are none.")
    rows, alarms, heavy_alarms, others, weakest, least = [], [], [], [], 1.0, 1.0
    for baseline in baselines:
        for entry in _entries(baseline, metric):
            figures, spread = list(entry.metrics[metric].values()), noise.get(_cell(entry))
            if spread is None or len(figures) < 2:
                continue
            margin = baseline.margins[metric]
            terms = (len(figures), spread, margin, baseline.confidence)
            limit = promises.collapse(figures, margin)
            normal, heavy = rates(*terms, limit=limit, draws=draws), rates(*terms, limit=limit, tails=_TAILS, draws=draws)
            alarms.append(normal.false_alarms)
            heavy_alarms.append(heavy.false_alarms)
            # Seeds that were not recorded: both means scatter as seeds do.
            between = math.sqrt(2) * float(np.std(figures, ddof=1))
            others.append(rates(len(figures), between, *terms[2:], limit=limit, draws=draws).false_alarms)
            weakest, least = min(weakest, normal.power, heavy.power), min(least, normal.found, heavy.found)
            rows.append(
                {
                    "cell": cell_title(baseline.suite, baseline.backend, entry.cell),
                    "seeds": str(len(figures)),
                    "noise": f"{spread:.4f}",
                    "margin, confidence": f"{margin:g}, {baseline.confidence:.0%}",
                    "collapsed from": f"{limit:.3f}",
                    "false alarms": f"{normal.false_alarms:.3%}",
                    "heavy tails, false alarms": f"{heavy.false_alarms:.3%}",
                    "heavy tails, collapsed": f"{heavy.collapses:.3%}",
                    "passes unchanged": f"{normal.passes:.1%}",
                    "power": f"{normal.power:.1%}",
                    "heavy tails": f"{heavy.power:.1%}",
                    "seed fallen": f"{min(normal.found, heavy.found):.1%}",
                    "other seeds": f"{others[-1]:.3%}",
                }
            )
    whole, whole_heavy, whole_others = (1 - math.prod(1 - rate for rate in shares) for shares in (alarms, heavy_alarms, others))
    note = (
        f"{draws} simulated gates a cell, with the noise between backends. False alarms: at most {max(alarms):.3%} of a cell "
        f"and {whole:.2%} of a gate of all {len(alarms)} cells; {max(heavy_alarms):.3%} and {whole_heavy:.2%} where the noise "
        f"is Student's t with {_TAILS} degrees of freedom (heavy tails). Power: a drop of {DROP:g} margins is called regressed "
        f"in at least {weakest:.1%}. Seed fallen: one seed that loses {FALL:g} makes the gate fail in at least {least:.1%}. "
        f"Other seeds: false alarms where none of the recorded seeds is run, {whole_others:.2%} of a whole gate."
    )
    return Table("How often the gate is wrong", pandas.DataFrame(rows), note)


def _entries(baseline: Baseline, metric: str) -> list[Entry]:
    """The entries of a baseline that hold a metric by seed."""
    return [entry for entry in baseline.entries if baseline.by_seed and metric in entry.metrics]


def _cell(entry: Entry) -> str:
    return identity(entry.cell, without=("seed", "backend"))
