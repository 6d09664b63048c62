"""Distillation: teachers and students trained on real data, measured on its test half."""

from suites.cell import Cell
from suites.distill import cells, checkpoint, training
from suites.suite import Suite

# seconds of an epoch of 10,000 images on two cores, teacher and student, of the pair resnet56:resnet20
EPOCH_SECONDS, EPOCH_IMAGES = {"teacher": 40.0, "student": 25.0}, 10_000


def _guess_seconds(cell: Cell) -> float:
    """Seconds that a cell takes; the records of cells that have run replace this."""
    if cell.dataset == "digits":
        return 1.5 if cell.scale == "trace" else 10.0 if cell.method == cells.TEACHER else 2.5
    if cell.scale == "trace":
        return 30.0
    recipe = cells.cell_recipe(cell)
    role = "teacher" if cell.method == cells.TEACHER else "student"
    images = {"smoke": 800, "small": 5_000, "paper": 50_000}[cell.scale]
    return 10 + recipe["epochs"] * images / EPOCH_IMAGES * EPOCH_SECONDS[role]


SUITE = Suite(
    name="distill",
    cells=cells.cells,
    recipe=cells.key_material,
    code=cells.code,
    run=training.run,
    guess_seconds=_guess_seconds,
    refusal=cells.refusal,
    has_products=training.has_products,
    begun=checkpoint.begun,
    adopt=training.adopt,
    clean_up=checkpoint.remove,
)
