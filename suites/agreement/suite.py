"""Agreement of a backend's divergences with the reference: values and gradients, by type, parameters and spread."""

import hashlib
from importlib import import_module
from itertools import product
from typing import Any

from reference.catalogue import DIVERGENCES
from reference.golden import compute
from suites import sources
from suites.agreement import measurement
from suites.cell import DTYPES, Cell, options
from suites.selection import Selection
from suites.suite import Context, Suite


def _cells(selection: Selection, context: Context) -> list[Cell]:
    """One cell for each divergence of the catalogue and each type of logits."""
    return [
        Cell(
            "agreement",
            backend=context.backend,
            options=options(divergence=name),
            scale=selection.scale,
            dtype=dtype,
            device=context.device,
        )
        for name, dtype in product(DIVERGENCES, selection.dtypes or DTYPES)
    ]


def _recipe(cell: Cell, context: Context) -> dict[str, Any]:
    golden = compute.golden_path(cell.option("divergence")).read_bytes()
    return {"golden": hashlib.sha256(golden).hexdigest()}


def _code(cell: Cell) -> dict[str, str]:
    return sources.code(["suites.agreement.measurement"], cell.backend, [cell.option("divergence")])


def _refusal(cell: Cell, context: Context) -> tuple[str, str] | None:
    name = cell.option("divergence")
    if not hasattr(import_module(f"backends.{cell.backend}.divergences"), name):
        return "unsupported", f"backend {cell.backend} has no divergence {name!r}"
    return None


# of a cell on one core; TensorFlow's and JAX's are mostly compilation
GUESS_SECONDS = {"torch": 1.0, "jax": 3.0, "tensorflow": 4.0}

SUITE = Suite(
    name="agreement",
    cells=_cells,
    recipe=_recipe,
    code=_code,
    run=measurement.run,
    guess_seconds=lambda cell: GUESS_SECONDS[cell.backend],
    refusal=_refusal,
    side_by_side=True,
)
