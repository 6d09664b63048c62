"""Time of the loss as a multiple of the framework's own KL loss, measured beside it in the same run.

A ratio stands more load and another clock than milliseconds do, though not everything: threads that wait for each other
suffer more on a busy machine than single passes over memory.
"""

import math
import statistics

from results.records.record import Record, Status

METRIC = "loss/times_own_kl"
_TIME = "loss/forward_backward_ms"
_YARDSTICK = "framework_kl"


def is_yardstick(record: Record) -> bool:
    """Whether a record of the loss suite is the framework's own loss."""
    return record.cell.get("implementation") == _YARDSTICK


def problem(record: Record) -> tuple[str, ...]:
    """What a loss and its yardstick have in common."""
    return tuple(str(record.cell.get(name)) for name in ("rows", "classes", "dtype", "device")) + (record.backend,)


def ratios(records: list[Record]) -> dict[int, tuple[float, float]]:
    """For each finished timing of the project's loss, by id(): its ratio, and how noisy the two timings were.

    The noise is the larger of the two timings' spreads: the middle half of the samples relative to their median; nan
    where a record keeps no samples.
    """
    kept = [r for r in records if r.suite == "loss" and r.status == Status.OK and r.metrics.get(_TIME, math.nan) > 0]
    yardsticks = {problem(record): record for record in kept if is_yardstick(record)}
    found = {}
    for record in kept:
        own = yardsticks.get(problem(record))
        if own is not None and not is_yardstick(record):
            found[id(record)] = record.metrics[_TIME] / own.metrics[_TIME], max(_spread(record), _spread(own))
    return found


def machine(record: Record) -> str:
    """What times of two runs must share to be compared: processor or card, cores, and the framework's version."""
    known = record.environment
    names = ("gpu" if "gpu" in known else "cpu", "cores_usable", "backend.version")
    return ", ".join(str(known[name]) for name in names if name in known)


def _spread(record: Record) -> float:
    samples = record.details.get("samples_s", {}).get("forward_backward", [])
    if len(samples) < 4:
        return math.nan
    first, middle, third = statistics.quantiles(samples, n=4)
    return (third - first) / middle
