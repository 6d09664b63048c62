"""Bounds that hold whatever a baseline says: what README promises of errors, and when a single seed has collapsed."""

import statistics
from collections.abc import Iterable

# Largest error of any row in a region with a promise, (value, gradient) by type of the logits: docs/losses.md. A test holds
# them against `suites.agreement.bounds`, which nothing in `results` may import.
PROMISED = {"float64": (1e-12, 1e-12), "float32": (1e-4, 1e-4), "bfloat16": (1e-5, 8e-3), "float16": (1e-5, 1e-3)}

# A seed has collapsed where it loses more than so many standard deviations of the recorded seeds, and than so many margins:
# ten seeds may lie together by chance. The largest loss of a seed between two backends, whose roundings differ, is 3 of the
# one and 2 of the other (`python -m results gate --simulate`).
COLLAPSE_SPREADS = 8.0
COLLAPSE_MARGINS = 6.0


def promised_error(metric: str, dtype: str) -> float:
    """Largest error that README promises; of an unknown type that of float32."""
    value, gradient = PROMISED.get(dtype, PROMISED["float32"])
    return value if metric.endswith("value_error") else gradient


def collapse(recorded: Iterable[float], margin: float) -> float:
    """Loss of quality of one seed from which on it has collapsed, by the spread of the recorded seeds."""
    return max(COLLAPSE_MARGINS * margin, COLLAPSE_SPREADS * statistics.stdev(recorded))
