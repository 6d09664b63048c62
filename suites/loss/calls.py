"""Calls that the backends' harnesses can prepare, ready to be timed."""

from types import ModuleType
from typing import Any

import numpy as np

from suites.loss.implementations import Implementation
from suites.loss.problems import Problem


def of_harness(
    harness: ModuleType, implementation: Implementation, problem: Problem, student: np.ndarray, teacher: np.ndarray
) -> Any:
    """A call of the harness: its own loss, or the framework's."""
    _, parameters, temperature = implementation.computes(problem)
    own = parameters if implementation.at_point else {}
    return harness.prepare_call(implementation.name, student, teacher, own, temperature=temperature, dtype=problem.dtype)
