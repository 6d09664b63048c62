"""Training throughput beside plain training loops of the same framework, on the same networks, images and loss.

`throughput/times_plain` is images a second of the harness' training, batches made on the way, over those of the fastest
plain loop on batches that lie ready (PyTorch: contiguous and channels-last), with a 95 % interval over the rounds in
which all of them took turns. `throughput/times_loader` is the same for a loop with a data loader and transforms of each
image; `throughput/input_times_training` is what the input pipeline makes alone over what training takes.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from suites import datasets, sources
from suites.cell import Cell
from suites.distill import defaults
from suites.running import isolated
from suites.selection import Selection
from suites.suite import Context, Suite
from suites.throughput import measurement, problems


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """For each pair and method, one comparison."""
    return list(dict.fromkeys(_each(selection, context)))


def _each(selection: Selection, context: Context) -> Iterator[Cell]:
    pairs = tuple(pair.lower().replace("_", "-") for pair in selection.pairs) or (problems.PAIR,)
    for pair, method in product(pairs, selection.methods or problems.METHODS):
        for entry in defaults.method_options(selection, problems.DATASET, pair, method):
            for dtype in selection.dtypes or ("float32",):
                yield Cell(
                    "throughput",
                    backend=context.backend,
                    pair=pair,
                    dataset=problems.DATASET,
                    method=method,
                    options=entry,
                    scale=selection.scale,
                    dtype=dtype,
                    device=context.device,
                )


def _recipe(cell: Cell, context: Context) -> dict[str, Any]:
    problem = measurement.problem(cell, isolated.threads(context))
    return {"threads": problem.threads, "rounds": problem.rounds, "steps": problem.steps, "recipe": problem.recipe.plain()}


def _code(cell: Cell) -> dict[str, str]:
    return sources.code(["suites.throughput.measurement", datasets.TABLE[problems.DATASET].load], cell.backend, [cell.method])


def _guess_seconds(cell: Cell) -> float:
    rounds, steps = problems.ROUNDS[cell.scale]
    return 20 + 0.5 * rounds * steps


SUITE = Suite(
    name="throughput",
    cells=_cells,
    recipe=_recipe,
    code=_code,
    run=measurement.run,
    guess_seconds=_guess_seconds,
    refusal=lambda cell, context: problems.refusal(cell),
    timed=True,
)
