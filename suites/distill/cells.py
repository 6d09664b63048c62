"""The cells of a distillation: teachers, students, and short traces that backends are compared on.

A cell is resolved once, into a `Training`: planning, keys, running and checkpoints read all that was looked up from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from backends.common import methods
from suites import datasets, keys, plugins, sources, tasks
from suites.cell import Cell, options
from suites.datasets.dataset import DatasetError
from suites.distill import defaults, given, networks, numbers
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Numbers, Recipe, Value
from suites.selection import Selection
from suites.suite import Context
from suites.tasks.task import Task

TEACHER = "teacher"
# types that networks are trained in; the narrower ones exist for logits only
TRAINED_DTYPES = ("float32", "float64")
# where the data are not there, in place of their digest: the cell cannot run, and its record says why
MISSING = "missing"


def cells(selection: Selection, context: Context) -> list[Cell]:
    """Cells of a selection: for each pair its teachers, the traces, then the students, seed by seed."""
    return list(dict.fromkeys(_cells(selection, context)))


def _cells(selection: Selection, context: Context) -> Iterator[Cell]:
    for (dataset, pair), dtype in product(defaults.trainings(selection), selection.dtypes or ("float32",)):
        common = Cell("distill", context.backend, pair, dataset, scale=selection.scale, dtype=dtype, device=context.device)
        names, seeds = defaults.methods_of(selection, dataset), defaults.seeds_of(selection, dataset)
        trainings = [replace(common, numbers=chosen) for chosen in numbers.combinations(selection, dataset)]
        weights = given.named(selection.teacher_weights)
        of_teacher = options(teacher_weights=weights)
        yield from (teacher_cell(replace(training, options=of_teacher)) for training in trainings)
        yield from _traces(common, names, selection)
        settings = [
            (name, chosen)
            for name in names
            for chosen in defaults.method_options(selection, dataset, pair, name, teacher_weights=weights)
        ]
        for seed, (method, chosen), training in product(seeds, settings, trainings):
            student = replace(training, method=method, options=chosen, seed=seed)
            for precision, repeat in product(selection.precisions or (student.precision,), range(selection.repeats + 1)):
                yield replace(student, precision=precision, repeat=repeat)


def _traces(common: Cell, names: tuple[str, ...], selection: Selection) -> list[Cell]:
    """Trainings whose first steps backends are compared on: each method with its first options, in each type.

    Their teacher was never trained, so no given weights belong to them. Where one method stands for all it has a teacher.
    """
    if not find.RECIPES[common.dataset].traces_every_method:
        names = next(((name,) for name in names if methods.get(name).needs_teacher), names[:1])
    traces = []
    for name, dtype in product(dict.fromkeys(names), TRAINED_DTYPES):
        first = next(defaults.method_options(selection, common.dataset, common.pair, name, "trace"))
        traces.append(replace(common, method=name, options=first, scale="trace", seed=0, dtype=dtype))
    return traces


def teacher_cell(cell: Cell) -> Cell:
    """The cell that trains the teacher of a student's cell; the same one for all students of a data set."""
    return Cell(
        "distill",
        backend=cell.backend,
        pair=cell.pair.partition(":")[0],
        dataset=cell.dataset,
        method=TEACHER,
        scale=cell.scale,
        seed=find.TEACHER_SEED,
        dtype=cell.dtype,
        device=cell.device,
        options=options(teacher_weights=cell.option("teacher_weights")),
        numbers=numbers.of_teacher(cell),
    )


@dataclass(frozen=True)
class Training:
    """A cell with all that was looked up for it.

    Attributes:
        cell: what is measured.
        task: of its data set.
        recipe: numbers of the training and of the method.
        student: specification of the network that is trained: the teacher itself in a teacher's cell.
        teacher: specification of the teacher; None in a teacher's cell.
        taught_by: the training that the teacher's weights come from; None for teachers and traces. Students of labels only
            have one too: they are compared with it.
        data_seed: of the draw of the training part, where the data set draws one.
        data_digest: of the data, `MISSING` where they are not there.
        code: digests of the files that compute the result, and the teacher's (`suites.sources.code`).
        settings: those of the backend that decide the result.
    """

    cell: Cell
    task: Task
    recipe: Recipe
    student: Any
    teacher: Any
    taught_by: "Training | None"
    data_seed: int | None
    data_digest: str
    code: Mapping[str, str]
    settings: dict[str, str]

    @property
    def method(self) -> str:
        """Name of the method that it is trained by; a teacher has one of its own."""
        return find.RECIPES[self.cell.dataset].teacher_method if self.cell.method == TEACHER else self.cell.method

    @property
    def objective(self) -> dict[str, Any]:
        """The method and its numbers, as `train_student` takes them."""
        parameters = methods.get(self.method).parameters
        return {"method": self.method} | {name: value for name, value in self.recipe.method.items() if name in parameters}

    @property
    def material(self) -> dict[str, Any]:
        """All data that decides the result beside the cell: recipe, data set, networks, and what decides the teacher's."""
        material: dict[str, Any] = {"recipe": self.recipe.plain(), "data": self.data_digest}
        material["networks"] = [str(network) for network in (self.teacher, self.student) if network is not None]
        if self.cell.scale == "trace":
            material |= {"teacher_seed": find.TRACE_TEACHER_SEED, "examples": find.TRACE_EXAMPLES}
        if self.taught_by is not None:
            material["teacher"] = self.taught_by.decided.other
        return material

    @cached_property
    def decided(self) -> keys.Decided:
        """What decides the result."""
        return keys.Decided.by(self.cell, self.material, self.code, self.settings)

    @property
    def key(self) -> str:
        """Key of the cell's record."""
        return self.decided.key

    def load(self) -> Any:
        """The data.

        Raises:
            suites.datasets.dataset.DatasetError: they are not there, or damaged.
        """
        return datasets.load(self.cell.dataset, self.cell.data_scale, self.data_seed)


def resolve(cell: Cell, context: Context) -> Training:
    """Look up all that a cell needs; once for a command."""
    settings = keys.decisive_settings(context.description)
    place = cell, tuple(sorted(settings.items()))
    if place not in context.trainings:
        context.trainings[place] = _look_up(cell, context, settings)
    return context.trainings[place]


def _look_up(cell: Cell, context: Context, settings: dict[str, str]) -> Training:
    row = datasets.get(cell.dataset)
    task = tasks.get(row.task)
    data_seed = cell.seed if row.drawn else None
    *teacher, student = (networks.specification(name, cell.dataset, cell.data_scale) for name in cell.pair.split(":"))
    taught = cell.method != TEACHER and cell.scale != "trace"
    return Training(
        cell=cell,
        task=task,
        recipe=_recipe(cell),
        student=student,
        teacher=teacher[0] if teacher else None,
        taught_by=resolve(teacher_cell(cell), context) if taught else None,
        data_seed=data_seed,
        data_digest=_data_digest(cell, data_seed),
        code=code(cell),
        settings=settings,
    )


def _recipe(cell: Cell) -> Recipe:
    """The recipe of a cell."""
    if cell.method != TEACHER:
        chosen = {name: value for name, value in cell.options if name != "teacher_weights"}
        recipe = find.student_recipe(cell.dataset, cell.scale, cell.pair, cell.method)
        return recipe.with_chosen(chosen, dict(numbers.of_student(cell)))
    if cell.option("teacher_weights") is not None:  # nothing is trained
        return Recipe(Numbers({"epochs": Value(0, "given weights")}))
    return find.teacher_recipe(cell.dataset, cell.scale).with_chosen({}, dict(cell.numbers))


def _data_digest(cell: Cell, seed: int | None) -> str:
    try:
        return datasets.digest(cell.dataset, cell.data_scale, seed)
    except DatasetError:
        return MISSING


def code(cell: Cell) -> dict[str, str]:
    """Digests of the files that compute a cell's result. Recipe, data and networks are in the key by their values."""
    row, task = datasets.get(cell.dataset), tasks.get(datasets.get(cell.dataset).task)
    roles = ("traces",) if cell.scale == "trace" else ("students", "teachers")
    entries = [f"suites.distill.{role}" for role in roles]
    specifications = [networks.specification(name, cell.dataset, cell.data_scale) for name in cell.pair.split(":")]
    used = {row.name, task.name, cell.method, *(specification.family for specification in specifications)}
    entries += plugins.files_of(used)
    return sources.code([*entries, row.load, *task.functions], cell.backend, [cell.method, TEACHER])


def refusal(cell: Cell, context: Context) -> tuple[str, str] | None:
    """(status, reason) where a cell cannot run."""
    if cell.dtype not in TRAINED_DTYPES:
        return "unsupported", f"networks are trained in {' or '.join(TRAINED_DTYPES)}, not in {cell.dtype}"
    if cell.precision != "float32" and cell.dtype != "float32":
        return "unsupported", f"precision {cell.precision} is for networks of float32, not of {cell.dtype}"
    try:
        datasets.check_presence(cell.dataset, cell.data_scale)
        training = resolve(cell, context)
        datasets.check_given(cell.dataset, cell.data_scale, training.data_seed)
        if "batch_size" in dict(numbers.of_student(cell)):  # which the data may be too few for
            _check_batch_size(training)
    except DatasetError as error:
        return "missing-data", str(error)
    except ValueError as error:
        return "unsupported", str(error)
    return None


def _check_batch_size(training: Training) -> None:
    """ValueError where the numbers of the training make no batches of its data."""
    training.task.batches["fixed"](training.recipe.training, training.load(), training.cell.seed, training.cell.dtype)
