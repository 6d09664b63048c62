"""Teachers: their training, their weights in the store, and those that another backend has trained."""

from pathlib import Path
from typing import Any

import numpy as np

from backends.common import networks, weight_files
from results.records.store import Store
from suites.cell import Cell
from suites.distill import cells, defaults, numbers
from suites.distill.cells import Training
from suites.distill.training import described, train
from suites.selection import Selection
from suites.suite import CellStopped, Context, Outcome, Report, Stop


def run(training: Training, context: Context, stop: Stop, report: Report) -> Outcome:
    """Train a teacher by its own method, or take the given weights, and keep its weights for the students."""
    cell, harness, network, data = training.cell, context.harness, training.student, training.load()
    if cell.option("teacher_weights") is not None:
        final = harness.build_model(network, _given_weights(context, network), cell.dtype)
        metrics = training.task.evaluate(harness, final, data, whole=True).metrics
        details = {"data": described(training, data), "recipe": training.recipe.flat()}
        outcome = Outcome("ok", "", metrics, {}, details | {"given": cell.option("teacher_weights")})
    else:
        model = harness.build_model(network, networks.initial_weights(network, cell.seed), cell.dtype)
        result, outcome = train(training, context, data, model, None, stop, report)
        final = result.student
    outcome.details["parameters"] = networks.parameter_count(network)
    if outcome.status == "ok":
        weight_files.save_weights(context.store.weights_path(training.key), harness.export_weights(final))
        context.teachers.forget(training.key)
    return outcome


def _given_weights(context: Context, network: Any) -> dict[str, np.ndarray]:
    """Weights from the file that the user named.

    Raises:
        CellStopped: they are not weights of this network.
    """
    try:
        return weight_files.read_weights(Path(context.teacher_weights).expanduser(), network)
    except (OSError, ValueError) as error:
        raise CellStopped("missing-weights", str(error)) from error


def trained(training: Training, context: Context) -> Any:
    """The network of a teacher's training, loaded from the store once a command.

    Raises:
        CellStopped: its weights are not there.
    """
    models, key = context.teachers.models, training.key
    if key not in models:
        path = context.store.weights_path(key)
        if not path.is_file():
            raise CellStopped(
                "missing-weights",
                f"the teacher {training.cell.pair!r} has no weights in the store: its own cell did not end as ok; "
                "run the command again to train it",
            )
        weights = weight_files.read_weights(path, training.student)
        models[key] = context.harness.build_model(training.student, weights, training.cell.dtype)
    return models[key]


def test_outputs(training: Training, context: Context, data: Any) -> np.ndarray:
    """What a trained teacher says of the test examples, computed once a command."""
    outputs, key = context.teachers.test_logits, training.key
    if key not in outputs:
        outputs[key] = training.task.evaluate(context.harness, trained(training, context), data).outputs
    return outputs[key]


def weights_of(backend: str, selection: Selection, store: Store) -> Path:
    """The file with the weights of the selection's teacher as `backend` trained it last, by the numbers that it asks for.

    Raises:
        ValueError: the selection has several teachers, or the store does not hold this one.
    """
    wanted = {
        cells.teacher_cell(Cell("distill", backend, pair, dataset, scale=selection.scale, dtype=dtype, numbers=chosen))
        for dataset, pair in defaults.trainings(selection)
        for dtype in selection.dtypes or ("float32",)
        for chosen in numbers.combinations(selection, dataset)
    }
    if len(wanted) > 1:
        names = ", ".join(sorted(f"{cell.group} ({cell.dataset}, {cell.dtype})" for cell in wanted))
        raise ValueError(
            f"teacher-of {backend!r}: there are several teachers, {names}; choose one pair and dtype, and one training"
        )
    (teacher,) = wanted
    fields = teacher.as_dict()
    for record in reversed(store.records(suite="distill", backend=backend, status="ok")):
        if record.cell | {"device": teacher.device} == fields:
            path = store.weights_path(record.key)
            if path.is_file():
                return path
    raise ValueError(
        f"teacher-of {backend!r}: the store {store.path} holds no weights of {teacher.group!r} on {teacher.dataset}, scale "
        f"{selection.scale}, {teacher.dtype}, trained by {backend}; train it first: "
        f"`nox -s {backend} -- distill --method sft --seeds 1` with the same pair, data set, scale and store"
    )
