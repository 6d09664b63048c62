"""Time of the loss as a multiple of the framework's own KL loss, measured beside it in the same run.

A ratio stands more load and another clock than milliseconds do, though not everything: threads that wait for each other
suffer more on a busy machine than single passes over memory.
"""

import dataclasses
import math
import statistics

from results.records.record import Record, Status
from results.words import is_number

METRIC = "loss/times_own_kl"
_TIME = "loss/forward_backward_ms"
_YARDSTICK = "framework_kl"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The time of a loss relative to that of the framework's own.

    Attributes:
        value: the one divided by the other.
        noise: the larger of the two timings' spreads, the middle half of the samples relative to their median; nan where
            a record keeps no samples.
    """

    value: float
    noise: float


def is_yardstick(record: Record) -> bool:
    """Whether a record of the loss suite is the framework's own loss."""
    return record.cell.get("implementation") == _YARDSTICK


def _problem(record: Record) -> tuple[str, ...]:
    """What a loss and its yardstick have in common."""
    return tuple(str(record.cell.get(name)) for name in ("rows", "classes", "dtype", "device")) + (record.backend,)


class Yardsticks:
    """The finished timings of the frameworks' own losses among some records."""

    def __init__(self, records: list[Record]) -> None:
        self._records = {_problem(record): record for record in records if _timed(record) and is_yardstick(record)}

    def ratio(self, record: Record) -> Ratio | None:
        """The ratio of a finished timing of the project's loss; None where nothing was timed beside it."""
        beside = self._records.get(_problem(record)) if _timed(record) and not is_yardstick(record) else None
        if beside is None:
            return None
        return Ratio(record.metrics[_TIME] / beside.metrics[_TIME], max(_spread(record), _spread(beside)))


def machine(record: Record) -> str:
    """What times of two runs must share to be compared: processor or card, cores, and the framework's version."""
    environment = record.environment
    names = ("gpu" if "gpu" in environment else "cpu", "cores_usable", "backend.version")
    return ", ".join(str(environment[name]) for name in names if name in environment)


def _timed(record: Record) -> bool:
    return record.suite == "loss" and record.status == Status.OK and record.metrics.get(_TIME, math.nan) > 0


def _spread(record: Record) -> float:
    samples = (record.details.get("samples_s") or {}).get("forward_backward", [])
    if not isinstance(samples, list) or len(samples) < 4 or not all(map(is_number, samples)):
        return math.nan
    first, middle, third = statistics.quantiles(samples, n=4)
    return (third - first) / middle
