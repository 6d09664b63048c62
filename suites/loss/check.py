"""No timing without its check: the timed tensors against the reference."""

from typing import Any

import numpy as np

from reference import catalogue
from suites.loss.implementations import Implementation
from suites.loss.problems import Problem

# largest relative difference of value and gradient, by type of the logits: what the agreement suite allows every row
LIMITS = {"float64": (1e-12, 1e-12), "float32": (1e-5, 1e-4), "bfloat16": (1e-5, 8e-3), "float16": (1e-5, 1e-3)}


def compare(problem: Problem, implementation: Implementation, value: float, gradient: np.ndarray) -> dict[str, Any]:
    """Compare a timed call's result with the reference: the mean value, and the gradient of every row.

    Args:
        problem: what was computed.
        implementation: what computed it.
        value: mean over rows.
        gradient: of that mean, float64 `[rows, classes]`.

    Returns:
        value_error and gradient_error (relative), their limits, value, reference_value, passed.
    """
    divergence, parameters, temperature = implementation.computes(problem)
    student, teacher = problem.base()
    values, slopes = catalogue.get(divergence).reference(
        student, teacher, *parameters.values(), temperature=temperature, reduction="none"
    )
    copies = np.bincount(np.arange(problem.rows) % len(values), minlength=len(values))
    mean = float(np.sum(values * copies) / problem.rows)
    gradient_error = 0.0
    for row in range(problem.rows):
        wanted = np.roll(slopes[row % len(slopes)], row)
        difference = np.abs(gradient[row] * problem.rows - wanted).max() / max(np.abs(wanted).max(), 1e-12)
        gradient_error = float(np.maximum(gradient_error, difference))  # NaN stays NaN
    value_error = abs(value - mean) / max(abs(mean), 1e-12)
    limits = implementation.limits or LIMITS[problem.dtype]
    passed = bool(value_error <= limits[0] and gradient_error <= limits[1])  # NaN does not pass
    return {
        "value_error": value_error,
        "gradient_error": gradient_error,
        "limits": list(limits),
        "value": value,
        "reference_value": mean,
        "passed": passed,
    }
