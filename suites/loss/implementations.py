"""What the loss suite times: the harness's own loss, the framework's KL divergence, and peers. One row each."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from suites.cell import Cell
from suites.loss.problems import Problem

# a divergence of the reference's catalogue, its parameters, and the temperature
Computed = tuple[str, Mapping[str, float], float]


@dataclass(frozen=True)
class Implementation:
    """An implementation of a loss.

    Attributes:
        name: of its cells and records.
        computes: (problem) → what it computes, with which its result is compared.
        backend: whose tensors it takes; empty for those of every backend.
        needs: package that it is in; empty where the backend has it.
        extra: of this project's extras, the one that installs the package.
        at_point: whether it is computed at the problem's (α, β) and temperature, or at a point of its own.
        option: the cells' option that holds its name.
        prepare: "module:function" of (harness, implementation, problem, student, teacher) → a call that can be timed;
            imported in the measuring process only.
        limits: largest relative errors of value and gradient; None for those of the harness's own loss.
        why_not: (cell) → why it cannot run there, empty where it can.
    """

    name: str
    computes: Callable[[Problem], Computed]
    backend: str = ""
    needs: str = ""
    extra: str = ""
    at_point: bool = False
    option: str = "implementation"
    prepare: str = "suites.loss.calls:of_harness"
    limits: tuple[float, float] | None = None
    why_not: Callable[[Cell], str] = lambda cell: ""

    def refusal(self, cell: Cell) -> tuple[str, str] | None:
        """(status, reason) where it cannot run."""
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return "unsupported", (
                f"{self.name!r} needs the package {self.needs!r}, which is not installed: python -m pip install "
                f"'.[{self.extra}]' from the clone, into the environment of the backend"
            )
        reason = self.why_not(cell)
        return ("unsupported", reason) if reason else None

    def problem(self, problem: Problem) -> Problem:
        """The problem without what this implementation does not look at: equal ones share a measurement."""
        return problem if self.at_point else replace(problem, alpha=0.0, beta=0.0, temperature=1.0)


def _at_point(problem: Problem) -> Computed:
    return "ab_divergence", {"alpha": problem.alpha, "beta": problem.beta}, problem.temperature


IMPLEMENTATIONS: dict[str, Implementation] = {
    row.name: row
    for row in (
        Implementation(name="ab_divergence", computes=_at_point, at_point=True, option="divergence"),
        # subtracts rounded log-partitions, which is not ours to judge: its limits say that it is a KL divergence at all
        Implementation(
            name="framework_kl",
            computes=lambda problem: ("ab_divergence", {"alpha": 1.0, "beta": 0.0}, 1.0),
            limits=(1e-3, 1e-2),
        ),
    )
}


def of_backend(backend: str) -> list[Implementation]:
    """Those that take a backend's tensors."""
    return [row for row in IMPLEMENTATIONS.values() if row.backend in ("", backend)]


def of_cell(cell: Cell) -> Implementation:
    """The one that a cell times."""
    return IMPLEMENTATIONS[cell.option("implementation") or cell.option("divergence")]
