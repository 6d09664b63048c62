"""Differences of two sets of figures, paired by seed: means, intervals, p-values and their correction."""

import dataclasses
import math

from results.significance.means import mean_and_error

CONFIDENCE = 0.95
# a corrected p-value below this is a win or a loss
LEVEL = 0.05
# with fewer seeds one deviating seed decides; the tables say so
FEW_SEEDS = 5


@dataclasses.dataclass(frozen=True)
class Difference:
    """One method minus the baseline method, over the seeds that both have; positive is better.

    Attributes:
        mean: of the seeds' differences.
        low, high: interval of the mean (paired t); nan with fewer than two seeds.
        p: two-sided; nan with fewer than two seeds, 1 where no seed differs.
        better, tied, worse: how many seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    tied: int
    worse: int

    @property
    def seeds(self) -> int:
        """How many seeds both have."""
        return self.better + self.tied + self.worse

    @property
    def interval(self) -> str:
        """`-0.0012 to +0.0034`; "—" with fewer than two seeds."""
        return "—" if math.isnan(self.low) else f"{self.low:+.4f} to {self.high:+.4f}"

    @property
    def seed_counts(self) -> str:
        """`better / tied / worse`."""
        return f"{self.better} / {self.tied} / {self.worse}"


def difference(method: dict[int, float], baseline: dict[int, float], sign: float = 1.0) -> Difference | None:
    """Compare two methods on the seeds that both have.

    Args:
        method, baseline: seed to figure.
        sign: 1 where larger is better, -1 where smaller is.

    Returns:
        The difference, or None where they share no seed.
    """
    from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import

    values = [sign * (method[seed] - baseline[seed]) for seed in sorted(method.keys() & baseline.keys())]
    if not values:
        return None
    signs = [sum(v > 0 for v in values), sum(v == 0 for v in values), sum(v < 0 for v in values)]
    mean, error = mean_and_error(values)
    if len(values) < 2:
        return Difference(mean, math.nan, math.nan, math.nan, *signs)
    if error == 0:  # every seed differs by the same amount: no scatter to test against, but signs
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 2.0 ** (1 - len(values)), *signs)
    freedom = len(values) - 1
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Difference(mean, mean - half, mean + half, float(2 * stdtr(freedom, -abs(mean) / error)), *signs)


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction: p-values of which all may be read together; nan stays nan and does not count."""
    rising = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(rising):
        largest = max(largest, min(1.0, (len(rising) - rank) * p))
        corrected[index] = largest
    return corrected
