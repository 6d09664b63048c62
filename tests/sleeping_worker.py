"""A measuring process that sleeps, with a folder of its own: `suites.running.isolated` asks it."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path

from suites.running import isolated


@dataclasses.dataclass
class Problem:
    """Where to say that the measurement has begun."""

    note: str


def measure(problem):
    with tempfile.TemporaryDirectory() as folder:
        Path(problem.note).write_text(f"{os.getpid()}\n{folder}")
        time.sleep(120)


if __name__ == "__main__":
    isolated.answer(Problem, measure)
