"""How often the gate's test of accuracy is wrong: false alarms, power and undecided runs, by simulation.

The noise is measured, not assumed: the baselines of two backends hold figures of the same seed, the same batches and
the same initial weights, so that their differences are what another rounding alone does to an unchanged method. Means of
such differences are taken out; a backend that really is worse must not count as noise.
"""

import dataclasses
import math
from itertools import combinations

import numpy as np
import pandas

from results.gate.baselines import Baseline, Entry
from results.records.record import cell_title, identity
from results.significance.noninferiority import quantile
from results.tables.table import Table

DRAWS = 20_000
# drop of the power's column, in margins
DROP = 2.0
# freedom of the heavy-tailed noise that is tried beside the normal one
_TAILS = 4


@dataclasses.dataclass(frozen=True)
class Rates:
    """Shares of simulated gates of one entry.

    Attributes:
        false_alarms: regressed, though nothing changed.
        passes: pass, where nothing changed; the others are ambiguous.
        power: regressed, where the figures dropped by DROP margins.
    """

    false_alarms: float
    passes: float
    power: float


def verdicts(losses: np.ndarray, margin: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """`noninferiority.decide` on the rows of [runs, seeds] at once: which pass, which regressed."""
    seeds = losses.shape[1]
    mean = losses.mean(axis=1)
    slack = quantile(confidence, seeds - 1) * losses.std(axis=1, ddof=1) / math.sqrt(seeds)
    return mean + slack <= margin, mean - slack > margin


def rates(seeds: int, noise: float, margin: float, confidence: float, *, tails: float = math.inf, draws: int = DRAWS) -> Rates:
    """Simulate gates of one entry.

    Args:
        seeds: how many.
        noise: standard deviation of a seed's difference to its recorded figure where nothing changed.
        margin, confidence: of the test.
        tails: degrees of freedom of Student-distributed noise; infinite for normal noise.
        draws: simulated gates.
    """
    generator = np.random.default_rng(0)
    if math.isinf(tails):
        unit = generator.standard_normal((draws, seeds))
    else:
        unit = generator.standard_t(tails, (draws, seeds)) * math.sqrt((tails - 2) / tails)
    passed, alarms = verdicts(noise * unit, margin, confidence)
    _, regressed = verdicts(noise * unit + DROP * margin, margin, confidence)
    return Rates(float(alarms.mean()), float(passed.mean()), float(regressed.mean()))


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
    rows, alarms, others, weakest = [], [], [], 1.0
    for baseline in baselines:
        for entry in _entries(baseline, metric):
            seeds, spread = len(entry.metrics[metric]), noise.get(_cell(entry))
            if spread is None or seeds < 2:
                continue
            terms = (seeds, spread, baseline.margins[metric], baseline.confidence)
            normal, heavy = rates(*terms, draws=draws), rates(*terms, tails=_TAILS, draws=draws)
            alarms.append(max(normal.false_alarms, heavy.false_alarms))
            # Seeds that were not recorded: both means scatter as seeds do. A lower bound of the freedom that Welch gives.
            between = math.sqrt(2) * float(np.std(list(entry.metrics[metric].values()), ddof=1))
            others.append(rates(seeds, between, *terms[2:], draws=draws).false_alarms)
            weakest = min(weakest, normal.power, heavy.power)
            rows.append(
                [
                    cell_title(baseline.suite, baseline.backend, entry.cell),
                    str(seeds),
                    f"{spread:.4f}",
                    f"{baseline.margins[metric]:g}, {baseline.confidence:.0%}",
                    f"{alarms[-1]:.3%}",
                    f"{normal.passes:.1%}",
                    f"{normal.power:.1%}",
                    f"{heavy.power:.1%}",
                    f"{others[-1]:.3%}",
                ]
            )
    names = [
        "cell",
        "seeds",
        "noise",
        "margin, confidence",
        "false alarms",
        "passes unchanged",
        "power",
        "heavy tails",
        "other seeds",
    ]
    whole, whole_others = (1 - math.prod(1 - rate for rate in shares) for shares in (alarms, others))
    note = (
        f"{draws} simulated gates a cell, with the noise between backends. False alarms: at most {max(alarms):.3%} of "
        f"a cell, {whole:.2%} of a gate of all {len(alarms)} cells. Power: a drop of {DROP:g} margins is called "
        f"regressed in at least {weakest:.1%}. Heavy tails: the power where the noise is Student's t with {_TAILS} degrees of "
        f"freedom. Other seeds: false alarms where none of the recorded seeds is run, {whole_others:.2%} of a whole gate."
    )
    return Table("How often the gate is wrong", pandas.DataFrame(rows, columns=names), note)


def _entries(baseline: Baseline, metric: str) -> list[Entry]:
    """The entries of a baseline that hold a metric by seed."""
    return [entry for entry in baseline.entries if baseline.by_seed and metric in entry.metrics]


def _cell(entry: Entry) -> str:
    return identity(entry.cell, without=("seed", "backend"))
