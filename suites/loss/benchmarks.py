"""The timings themselves, run by pytest-benchmark inside the worker process, which supplies `timed`."""

from collections.abc import Callable
from dataclasses import dataclass

# seconds to spend on one timing, and limits of its rounds
BUDGET_SECONDS = 2.0
ROUNDS = (9, 300)
WARM_UP_ROUNDS = 2


@dataclass(frozen=True)
class Timed:
    """What is timed: a call that blocks until its result is there, and the seconds that it takes about."""

    name: str
    call: Callable[[], object]
    seconds: float


def test_time(timed: Timed, benchmark: Callable) -> None:
    """Time one call, in rounds of one; their number is chosen from the time that the call takes."""
    rounds = int(BUDGET_SECONDS / max(timed.seconds, 1e-6))
    benchmark.extra_info["name"] = timed.name
    benchmark.pedantic(timed.call, rounds=min(max(rounds, ROUNDS[0]), ROUNDS[1]), iterations=1, warmup_rounds=WARM_UP_ROUNDS)
