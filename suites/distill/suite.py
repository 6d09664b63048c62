"""Distillation: teachers and students trained on real data, measured on its test half."""

from suites.cell import Cell
from suites.distill import cells, training
from suites.suite import Suite


def _guess_seconds(cell: Cell) -> float:
    if cell.scale == "trace":
        return 1.5
    return 10.0 if cell.method == cells.TEACHER else 2.5


SUITE = Suite(
    name="distill",
    cells=cells.cells,
    recipe=cells.key_material,
    sources=cells.sources,
    run=training.run,
    guess_seconds=_guess_seconds,
    refusal=cells.refusal,
    has_products=training.has_products,
)
