"""What a claim is: a statement somebody made, a check of it, and the verdict with its figure."""

from collections.abc import Callable
from dataclasses import dataclass

HOLDS, CONDITION, FAILS = "holds", "holds with a condition", "fails"
VERDICTS = (HOLDS, CONDITION, FAILS)


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: one of VERDICTS.
        figure: the number that decides.
        meaning: what that number is, in a few words.
        remark: the condition of a statement that holds with one; what is true instead of one that fails; beside one
            that holds, how far it reaches.
    """

    verdict: str
    figure: float
    meaning: str
    remark: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}; it must be one of {', '.join(VERDICTS)}")
        if self.verdict != HOLDS and not self.remark:
            raise ValueError(f"remark is {self.remark!r}; with the verdict {self.verdict!r} it must say what is true")


@dataclass(frozen=True)
class Claim:
    """A statement and how it is checked.

    Attributes:
        name: short, for tables and tests.
        group: heading under which tables list it.
        statement: one sentence.
        source: who says it.
        check: computes the finding; deterministic, in about a second at most.
    """

    name: str
    group: str
    statement: str
    source: str
    check: Callable[[], Finding]


def small(figure: float, limit: float, meaning: str, remark: str = "") -> Finding:
    """A finding that holds (with a condition where there is a remark) while the figure is at most `limit`."""
    if not figure <= limit:  # also for NaN
        return Finding(FAILS, figure, meaning, remark or f"the figure should be at most {limit:g}")
    return Finding(CONDITION if remark else HOLDS, figure, meaning, remark)
