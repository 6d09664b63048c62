"""The cells of a distillation: teachers, students, and short traces that backends are compared on."""

import hashlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from backends.common import methods
from suites import datasets, keys, sources
from suites.cell import Cell, options
from suites.datasets.dataset import DatasetError
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Recipe, Value
from suites.selection import Selection, data_scale, model_spec
from suites.suite import Context

TEACHER = "teacher"
# types that networks are trained in; the narrower ones exist for logits only
TRAINED_DTYPES = ("float32", "float64")


def cells(selection: Selection, context: Context) -> list[Cell]:
    """Cells of a selection: for each pair its teacher, the traces, then the students, seed by seed."""
    found: dict[Cell, None] = {}
    for (dataset, pair), dtype in product(selection.trainings, selection.dtypes or ("float32",)):
        shared = {"backend": context.backend, "pair": pair, "dataset": dataset, "device": context.device}
        names = selection.methods_of(dataset)
        chosen = [(m, entry) for m in names for entry in method_options(selection, dataset, pair, m)]
        seeds = range(selection.first_seed, selection.first_seed + selection.seeds_of(dataset))
        students = [
            Cell("distill", method=method, options=entry, scale=selection.scale, seed=seed, dtype=dtype, **shared)
            for seed, (method, entry) in product(seeds, chosen)
        ]
        traces = [
            Cell(
                "distill",
                method=m,
                options=_trace_options(selection, dataset, pair, m),
                scale="trace",
                seed=0,
                dtype=trace_dtype,
                **shared,
            )
            for m, trace_dtype in product(_traced(dataset, names), TRAINED_DTYPES)
        ]
        found.setdefault(teacher_cell(students[0]))
        found.update(dict.fromkeys(traces + _variants(students, selection)))
    return list(found)


def _trace_options(selection: Selection, dataset: str, pair: str, method: str) -> tuple[tuple[str, Any], ...]:
    """Options of the trace of a method: the first ones, with a teacher of its own, which nobody trained."""
    first = method_options(selection, dataset, pair, method, "trace")[0]
    return tuple(entry for entry in first if entry[0] != "teacher_weights")


def _variants(students: list[Cell], selection: Selection) -> list[Cell]:
    """Each student in every chosen precision, and again so many times."""
    return [
        replace(student, precision=precision, repeat=repeat)
        for student in students
        for precision, repeat in product(selection.precisions or (student.precision,), range(selection.repeats + 1))
    ]


def _traced(dataset: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Methods whose first steps are compared between backends: all on the digits, one of large networks."""
    if dataset == "digits":
        return tuple(dict.fromkeys(chosen))
    return next(((name,) for name in chosen if methods.get(name).needs_teacher), chosen[:1])


def method_options(
    selection: Selection, dataset: str, pair: str, method: str, scale: str | None = None
) -> list[tuple[tuple[str, Any], ...]]:
    """Options of a method's cells: every combination of the values that the user gave, or the recipe's.

    Args:
        selection: what the user gave.
        dataset, pair, method: of the cells.
        scale: "trace" for a trace; the selection's without one.
    """
    has = methods.get(method).parameters
    recipe = find.method_values(dataset, pair, method, scale or selection.scale)
    own = {name: recipe[name].value for name in has if name in recipe}
    points: list[dict[str, float]] = [{}]
    if "alpha" in has:
        # α and β are chosen together: presets are points, not a product of two lists
        alphas, betas = selection.alphas or (own["alpha"],), selection.betas or (own["beta"],)
        chosen = selection.points if selection.presets else product(alphas, betas)
        points = [{"alpha": alpha, "beta": beta} for alpha, beta in chosen]
    values = {name: selection.given.get(name, (value,)) for name, value in own.items() if name not in ("alpha", "beta")} | {
        name: numbers for name, numbers in selection.given.items() if name in has
    }
    return [
        options(**point, **dict(zip(values, combination, strict=True)), teacher_weights=file_name(selection.teacher_weights))
        for point, combination in product(points, list(product(*values.values())))
    ]


def file_name(path: str | None) -> str | None:
    """How a cell names a file of given weights: its name and a digest of its content, so that its key changes with it.

    Raises:
        ValueError: it cannot be read.
    """
    if path is None:
        return None
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(f"teacher_weights {path!r} cannot be read ({error.strerror}); name a .safetensors file") from error
    return f"{Path(path).name} {hashlib.sha256(content).hexdigest()[:16]}"


def teacher_cell(cell: Cell) -> Cell:
    """The cell that trains the teacher of a student's cell; the same one for all students of a data set."""
    teacher = cell.pair.partition(":")[0]
    return Cell(
        "distill",
        backend=cell.backend,
        pair=teacher,
        dataset=cell.dataset,
        method=TEACHER,
        scale=cell.scale,
        seed=find.TEACHER_SEED,
        dtype=cell.dtype,
        device=cell.device,
        options=options(teacher_weights=cell.option("teacher_weights")),
    )


def cell_recipe(cell: Cell) -> Recipe:
    """The training recipe of a cell."""
    if cell.method == TEACHER:
        if cell.option("teacher_weights") is not None:  # nothing is trained
            return Recipe({"epochs": Value(0, "given weights")})
        return find.teacher_recipe(cell.dataset, cell.scale)
    own = find.method_values(cell.dataset, cell.pair, cell.method, cell.scale)
    changed = {
        name: value
        for name, value in cell.options
        if name != "teacher_weights" and (name not in own or value != own[name].value)
    }
    return find.student_recipe(cell.dataset, cell.scale, cell.pair, cell.method, changed)


def key_material(cell: Cell, context: Context) -> dict[str, Any]:
    """All data that decides a cell's result: recipe, data set, networks, and what decides the teacher's."""
    robust = find.RECIPES[cell.dataset].robustness
    material: dict[str, Any] = {"recipe": cell_recipe(cell).plain(), "robustness": robust}
    try:
        material["data"] = datasets.load(cell.dataset, data_scale(cell.scale)).digest
        material["networks"] = [str(model_spec(name, cell.dataset, cell.scale)) for name in cell.pair.split(":")]
    except DatasetError:
        material["data"] = "missing"  # the cell cannot run; its record says why
    if cell.scale == "trace":
        material |= {"teacher_seed": find.TRACE_TEACHER_SEED, "images": find.TRACE_IMAGES}
    elif uses_teacher(cell):
        teacher = teacher_cell(cell)
        material["teacher"] = keys.Decided.by(teacher, key_material(teacher, context), {}, context.description).other
    return material


def uses_teacher(cell: Cell) -> bool:
    """Whether the cell needs a teacher's trained weights. Students of labels only do too: to be compared with it."""
    return cell.method != TEACHER and cell.scale != "trace"


def teacher_key(cell: Cell, context: Context) -> str:
    """Key of the teacher of a student's cell."""
    return own_key(teacher_cell(cell), context)


def own_key(cell: Cell, context: Context) -> str:
    """Key of a cell's record."""
    return keys.result_key(cell, key_material(cell, context), code(cell), context.description)


def code(cell: Cell) -> dict[str, str]:
    """Digests of the files that compute a cell's result, and its teacher's."""
    entries = ["suites.distill.training", datasets.TABLE[cell.dataset].load]
    return sources.code(entries, cell.backend, [cell.method, TEACHER])


def refusal(cell: Cell, context: Context) -> tuple[str, str] | None:
    """(status, reason) where a cell cannot run."""
    if cell.dtype not in TRAINED_DTYPES:
        return "unsupported", f"networks are trained in {' or '.join(TRAINED_DTYPES)}, not in {cell.dtype}"
    if cell.precision != "float32" and cell.dtype != "float32":
        return "unsupported", f"precision {cell.precision} is for networks of float32, not of {cell.dtype}"
    try:
        datasets.load(cell.dataset, data_scale(cell.scale))
    except DatasetError as error:
        return "missing-data", str(error)
    return None
