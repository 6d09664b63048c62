"""The cells of a distillation: teachers, students, and short traces that backends are compared on."""

from itertools import product
from pathlib import Path
from typing import Any

from backends import methods
from suites import datasets, keys
from suites.cell import Cell, options
from suites.distill import recipes
from suites.selection import Selection, model_spec
from suites.suite import Context

TEACHER = "teacher"
#: types that networks are trained in; the narrower ones exist for logits only
TRAINED_DTYPES = ("float32", "float64")


def cells(selection: Selection, context: Context) -> list[Cell]:
    """Cells of a selection: for each pair its teacher, the traces, then the students, seed by seed."""
    found: dict[Cell, None] = {}
    for dataset, dtype in product(selection.datasets, selection.dtypes or ("float32",)):
        for pair in selection.pairs_of(dataset):
            shared = {"backend": context.backend, "dataset": dataset, "device": context.device}
            chosen = [(m, entry) for m in selection.methods for entry in _method_options(selection, dataset, m)]
            student = [
                Cell(
                    "distill",
                    pair=pair,
                    method=method,
                    options=entry,
                    scale=selection.scale,
                    seed=seed,
                    dtype=dtype,
                    **shared,
                )
                for seed, (method, entry) in product(range(selection.seeds), chosen)
            ]
            first_of_method = {method: entry for method, entry in reversed(chosen)}
            traces = [
                Cell(
                    "distill",
                    pair=pair,
                    method=m,
                    options=first_of_method[m],
                    scale="trace",
                    seed=0,
                    dtype=trace_dtype,
                    **shared,
                )
                for m, trace_dtype in product(dict.fromkeys(selection.methods), TRAINED_DTYPES)
            ]
            found.setdefault(teacher_cell(student[0]))
            found.update(dict.fromkeys(traces + student))
    return list(found)


def _method_options(selection: Selection, dataset: str, method: str) -> list[tuple[tuple[str, Any], ...]]:
    """Options of a method's cells: every combination of the values that the user gave, or the recipe's."""
    has = methods.get(method).parameters
    values: dict[str, tuple[float, ...]] = {}
    # α and β are chosen together: presets are points, not a product of two lists
    points = [{"alpha": alpha, "beta": beta} for alpha, beta in selection.points] if "alpha" in has else [{}]
    given = {
        "temperature": selection.temperatures,
        "distill_weight": () if selection.distill_weight is None else (selection.distill_weight,),
        "hard_weight": () if selection.hard_weight is None else (selection.hard_weight,),
    }
    recipe = recipes.student_recipe(dataset, method, {})
    for name in has:
        if name in given:
            values[name] = given[name] or (recipe[name],)
    return [
        options(**point, **dict(zip(values, combination, strict=True)))
        for point, combination in product(points, list(product(*values.values())))
    ]


def teacher_cell(cell: Cell) -> Cell:
    """The cell that trains the teacher of a student's cell; the same one for all students of a data set."""
    teacher = cell.pair.partition(":")[0]
    return Cell(
        "distill", backend=cell.backend, pair=teacher, dataset=cell.dataset, method=TEACHER, scale=cell.scale,
        seed=recipes.TEACHER_SEED, dtype=cell.dtype, device=cell.device,
    )  # fmt: skip


def cell_recipe(cell: Cell) -> recipes.Recipe:
    """The training recipe of a cell."""
    if cell.method == TEACHER:
        return recipes.teacher_recipe(cell.dataset)
    own = recipes.METHOD_VALUES[cell.method]
    changed = {name: value for name, value in cell.options if name in own and value != own[name].value}
    return recipes.student_recipe(cell.dataset, cell.method, changed, trace=cell.scale == "trace")


def key_material(cell: Cell, context: Context) -> dict[str, Any]:
    """All data that decides a cell's result: recipe, data set, networks, and the teacher's own key."""
    material: dict[str, Any] = {
        "recipe": cell_recipe(cell).plain(),
        "data": datasets.load(cell.dataset).digest,
        "networks": [str(model_spec(name, cell.dataset)) for name in cell.pair.split(":")],
    }
    if cell.scale == "trace":
        material["teacher_seed"] = recipes.TRACE_TEACHER_SEED
    elif uses_teacher(cell):
        material["teacher"] = teacher_key(cell, context)
    return material


def uses_teacher(cell: Cell) -> bool:
    """Whether the cell needs a teacher's trained weights. Students of labels only do too: to be compared with it."""
    return cell.method != TEACHER and cell.scale != "trace"


def teacher_key(cell: Cell, context: Context) -> str:
    """Key of the teacher of a student's cell."""
    teacher = teacher_cell(cell)
    return keys.result_key(teacher, key_material(teacher, context), sources(teacher), context.description)


def sources(cell: Cell) -> tuple[Path, ...]:
    """Files that compute a cell's result. Recipes and data enter the key by their values."""
    return keys.source_files(
        "backends/*.py", f"backends/{cell.backend}/**/*.py", "suites/corruptions.py", "suites/streams.py",
        "suites/distill/augmentation.py", "suites/distill/batches.py", "suites/distill/metrics.py",
        "suites/distill/schedules.py", "suites/distill/training.py",
    )  # fmt: skip


def refusal(cell: Cell, context: Context) -> tuple[str, str] | None:
    """(status, reason) where a cell cannot run."""
    if cell.dtype not in TRAINED_DTYPES:
        return "unsupported", f"networks are trained in {' or '.join(TRAINED_DTYPES)}, not in {cell.dtype}"
    return None
