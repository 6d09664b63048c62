"""The test behind the gate's word on accuracy: one-sided non-inferiority with a margin and a confidence.

With d the loss of quality of each seed against its recorded figure (positive is worse), mean m, standard error s and
Student's t at the confidence: pass where m + t·s ≤ margin, regressed where m - t·s > margin, otherwise ambiguous.

An unchanged program has m near 0, a whole margin away from the bound that would call it regressed, so its false alarms
are far rarer than 1 - confidence; `results.gate.simulation` measures how rare.
"""

import dataclasses
import functools
import math

from results.significance.means import mean_and_error

_MANY_SEEDS = 1000


@dataclasses.dataclass(frozen=True)
class Loss:
    """Mean loss of quality with its uncertainty.

    Attributes:
        mean: positive is worse.
        error: standard error of the mean; nan where a single seed leaves none.
        freedom: degrees of freedom of `error`.
        seeds: how many seeds it comes from.
    """

    mean: float
    error: float
    freedom: float
    seeds: int


def paired(losses: list[float]) -> Loss:
    """From the loss of each seed against the same seed: what the seeds have in common drops out."""
    mean, error = mean_and_error(losses)
    return Loss(mean, error, len(losses) - 1, len(losses))


def unpaired(recorded: list[float], new: list[float], sign: float) -> Loss:
    """From two sets of seeds (Welch): for runs with seeds that were not recorded; much less is seen this way.

    Args:
        recorded, new: figures; a single one on a side leaves a difference without an error.
        sign: 1 where larger is better, -1 where smaller is.
    """
    (before, error_before), (after, error_after) = mean_and_error(recorded), mean_and_error(new)
    if min(len(recorded), len(new)) < 2:
        return Loss(sign * (before - after), math.nan, 0, 1)
    squares = error_before**2, error_after**2
    error = math.sqrt(sum(squares))
    parts = squares[0] ** 2 / (len(recorded) - 1) + squares[1] ** 2 / (len(new) - 1)
    freedom = sum(squares) ** 2 / parts if parts else len(recorded) + len(new) - 2
    return Loss(sign * (before - after), error, freedom, len(new))


def decide(loss: Loss, margin: float, confidence: float) -> tuple[str, str, str]:
    """The verdict on a loss of quality.

    Returns:
        "pass", "regressed" or "ambiguous"; why, "" for pass; the loss as text.
    """
    if loss.seeds < 2:
        return "ambiguous", "one seed has no spread; at least 2 are needed", f"worse by {loss.mean:+.4f}, 1 seed"
    slack = quantile(confidence, loss.freedom) * loss.error
    figure = f"worse by {loss.mean:+.4f} (between {loss.mean - slack:+.4f} and {loss.mean + slack:+.4f}), {loss.seeds} seeds"
    if loss.mean + slack <= margin:
        return "pass", "", figure
    if loss.mean - slack > margin:
        return "regressed", "worse by more than the margin", figure
    needed = seeds_needed(loss.mean, loss.error * math.sqrt(loss.seeds), margin, confidence)
    return "ambiguous", f"too few seeds to say; {needed} would do", figure


def seeds_needed(mean: float, deviation: float, margin: float, confidence: float) -> str:
    """How many seeds would decide, if mean and standard deviation stayed what they are."""
    for count in range(2, _MANY_SEEDS + 1):
        if quantile(confidence, count - 1) * deviation / math.sqrt(count) < abs(margin - mean):
            return str(count)
    return f"more than {_MANY_SEEDS}"


@functools.cache
def quantile(confidence: float, freedom: float) -> float:
    """Student's t quantile."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, confidence))
