"""Speed and memory of the loss, beside the framework's own KL divergence on log-softmax.

Convention for traffic: what cannot be avoided is reading both logits once and, going backward, writing one gradient,
with rows held on chip (4-byte logits: 12 bytes an element forward and backward, 8 forward alone).
`loss/percent_of_copy` is the time of copying that many bytes at the measured copy bandwidth (bytes read plus written),
as a percentage of the time of forward and backward. `loss/bytes_per_element` is how many bytes an element a copy would
have moved in that time. Times are medians; the raw samples are in the record's details.
"""

from itertools import product
from pathlib import Path
from typing import Any

from suites import keys
from suites.cell import Cell, options
from suites.loss import measurement
from suites.loss.problems import DEFAULT_ALPHA, DEFAULT_BETA, SIZES
from suites.running import isolated
from suites.selection import Selection
from suites.suite import Context, Suite


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """For each size, type and (α, β): the harness's own loss and the yardstick, measured in one run."""
    points = product(selection.points(DEFAULT_ALPHA, DEFAULT_BETA), selection.temperatures or (1.0,))
    shared = {"backend": context.backend, "scale": selection.scale, "device": context.device}
    found: dict[Cell, None] = {}
    for (rows, classes), dtype, ((alpha, beta), temperature) in product(SIZES, selection.dtypes or ("float32",), list(points)):
        own = options(divergence="ab_divergence", rows=rows, classes=classes, alpha=alpha, beta=beta, temperature=temperature)
        yardstick = options(implementation="framework_kl", rows=rows, classes=classes)
        for entry in (own, yardstick):
            found[Cell("loss", options=entry, dtype=dtype, **shared)] = None
    return list(found)


def _recipe(cell: Cell, context: Context) -> dict[str, Any]:
    return {"threads": isolated.threads(context)}


def _sources(cell: Cell) -> tuple[Path, ...]:
    return keys.source_files(
        "backends/common/*.py",
        f"backends/{cell.backend}/losses/*.py",
        f"backends/{cell.backend}/harness/*.py",
        "reference/*.py",
        "reference/exact/*.py",
        "suites/loss/*.py",
    )


def _guess_seconds(cell: Cell) -> float:
    return 25.0 if cell.option("rows") * cell.option("classes") > 1e6 else 6.0


SUITE = Suite(
    name="loss", cells=_cells, recipe=_recipe, sources=_sources, run=measurement.run, guess_seconds=_guess_seconds, timed=True
)
