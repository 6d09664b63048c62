"""Speed and memory of the loss, beside the framework's own KL divergence on log-softmax.

Convention for traffic: what cannot be avoided is reading both logits once and, going backward, writing one gradient,
with rows held on chip (4-byte logits: 12 bytes an element forward and backward, 8 forward alone).
`loss/percent_of_copy` is the time of copying that many bytes at the measured copy bandwidth (bytes read plus written),
as a percentage of the time of forward and backward. `loss/bytes_per_element` is how many bytes an element a copy would
have moved in that time. Times are medians; the raw samples are in the record's details.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from suites import sources
from suites.cell import Cell, options
from suites.loss import measurement
from suites.loss.implementations import of_backend, of_cell
from suites.loss.problems import DEFAULT_ALPHA, DEFAULT_BETA, SIZES
from suites.running import isolated
from suites.selection import Selection
from suites.suite import Context, Suite


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """For each size, type and (α, β): every implementation, measured in one run."""
    return list(dict.fromkeys(_each(selection, context)))


def _each(selection: Selection, context: Context) -> Iterator[Cell]:
    shared = {"backend": context.backend, "scale": selection.scale, "device": context.device}
    for (rows, classes), dtype in product(SIZES, selection.dtypes or ("float32",)):
        for alpha, beta in selection.points(DEFAULT_ALPHA, DEFAULT_BETA):
            for temperature, row in product(selection.temperatures or (1.0,), of_backend(context.backend)):
                point = {"alpha": alpha, "beta": beta, "temperature": temperature} if row.at_point else {}
                named = options(**{row.option: row.name}, rows=rows, classes=classes, **point)
                yield Cell("loss", options=named, dtype=dtype, **shared)


def _recipe(cell: Cell, context: Context) -> dict[str, Any]:
    return {"threads": isolated.threads(context)}


def _code(cell: Cell) -> dict[str, str]:
    implementation = of_cell(cell)
    return sources.code(
        ["suites.loss.measurement", implementation.prepare.partition(":")[0]], cell.backend, [implementation.name]
    )


def _guess_seconds(cell: Cell) -> float:
    return 25.0 if cell.option("rows") * cell.option("classes") > 1e6 else 6.0


SUITE = Suite(
    name="loss",
    cells=_cells,
    recipe=_recipe,
    code=_code,
    run=measurement.run,
    guess_seconds=_guess_seconds,
    refusal=lambda cell, context: of_cell(cell).refusal(cell),
    timed=True,
)
