"""Train the network of a cell and measure it."""

import functools
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.common import methods, networks, weight_files
from backends.common.training.loop import StopTraining
from results.records import step_losses
from suites import datasets
from suites.cell import Cell
from suites.datasets.dataset import ImageDataset
from suites.distill import cells, checkpoint
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Recipe
from suites.distill.reporting import Reported
from suites.distill.schedules import learning_rate
from suites.running import machine
from suites.selection import data_scale, model_spec, split_pair
from suites.suite import CellStopped, Context, Outcome
from suites.tasks.classification import metrics
from suites.tasks.classification.augmentation import Augmentation
from suites.tasks.classification.batches import Batches
from suites.tasks.classification.corruptions import corrupted_test_images, metric_name

if TYPE_CHECKING:
    from backends.common.training.result import TrainingResult
    from results.records.record import Record


# of the test logits that a student's record keeps: rows, and entries where there are many classes
SAMPLE_ROWS, SAMPLE_ENTRIES = 32, 4096


def run(cell: Cell, context: Context) -> Outcome:
    """Train and measure one cell: a teacher, a student, or a trace."""
    if cell.scale == "trace":
        return _trace(cell, context)
    if cell.method == cells.TEACHER:
        return _teacher(cell, context)
    return _student(cell, context)


def has_products(record: "Record", context: Context) -> bool:
    """A teacher counts as finished only while its weights are in the store, a student that is to be kept likewise."""
    of_student = record.cell.get("method") != cells.TEACHER and record.cell.get("scale") != "trace"
    if context.keep_students and record.status == "ok" and of_student:
        return "student" in record.artifacts and (context.store.path / record.artifacts["student"]).is_file()
    return record.cell.get("method") != cells.TEACHER or context.store.weights_path(record.key).is_file()


def _teacher(cell: Cell, context: Context) -> Outcome:
    """Train a teacher on the labels, or take the given weights, and keep its weights for the students."""
    data = _data(cell)
    spec = model_spec(cell.pair, cell.dataset, cell.scale)
    key = cells.teacher_key(cell, context)
    given = cell.option("teacher_weights") is not None
    weights = _given_weights(context, spec) if given else networks.initial_weights(spec, cell.seed)
    model = context.harness.build_model(spec, weights, cell.dtype)
    if given:
        logits = context.harness.predict(model, data.test_images)
        details = {"data": _described(data), "recipe": cells.cell_recipe(cell).plain(), "given": cell.option("teacher_weights")}
        outcome, final = Outcome("ok", "", metrics.evaluate(logits, data.test_labels), {}, details), model
    else:
        result, outcome = _train(cell, context, data, model, None, method="sft", hard_weight=1.0)
        final = result.student
    outcome.details["parameters"] = networks.parameter_count(spec)
    if outcome.status == "ok":
        weight_files.save_weights(context.store.weights_path(key), context.harness.export_weights(final))
        context.cache["teacher", key] = None
    return outcome


def _given_weights(context: Context, spec: networks.ModelSpec) -> dict[str, np.ndarray]:
    """Weights from the file that the user named.

    Raises:
        CellStopped: they are not weights of this network.
    """
    try:
        return weight_files.read_weights(Path(context.teacher_weights).expanduser(), spec)
    except (OSError, ValueError) as error:
        raise CellStopped("missing-weights", str(error)) from error


def _student(cell: Cell, context: Context) -> Outcome:
    """Train a student, from the data set's teacher where its method has one."""
    data = _data(cell)
    spec = model_spec(split_pair(cell.pair)[1], cell.dataset, cell.scale)
    model = context.harness.build_model(spec, networks.initial_weights(spec, cell.seed), cell.dtype)
    teacher = _trained_teacher(cell, context)
    training_teacher = teacher if methods.get(cell.method).needs_teacher else None
    result, outcome = _train(cell, context, data, model, training_teacher, **_objective(cell))
    outcome.details["parameters"] = networks.parameter_count(spec)
    if context.keep_students and result.status == "ok":
        weights = context.harness.export_weights(result.student)
        # not a lambda: an outcome may come from another process
        outcome.files["student"] = functools.partial(weight_files.save_weights, arrays=weights)
    return outcome


def _data(cell: Cell) -> ImageDataset:
    return datasets.load(cell.dataset, data_scale(cell.scale))


def _described(data: ImageDataset) -> dict[str, Any]:
    counts = {"classes": data.classes, "train": len(data.train), "test": len(data.test)}
    return {"source": data.source, "digest": data.digest, "stand_in": data.stand_in, **counts}


def _objective(cell: Cell) -> dict[str, Any]:
    """The method and its numbers, as `train_student` takes them."""
    has = methods.get(cell.method).parameters
    return {"method": cell.method, **{name: value for name, value in cell.options if name in has}}


def training_batches(recipe: Recipe, data: ImageDataset, seed: int, dtype: str = "float32", *, repeat: int = 0) -> Batches:
    """Batches of a training, cropped and flipped as its recipe says."""
    augmentation = Augmentation(recipe.get("pad", 0), recipe.get("flip", False))
    return Batches(
        data,
        recipe["batch_size"],
        seed,
        dtype=dtype,
        augmentation=augmentation if augmentation != Augmentation() else None,
        repeat=repeat,
    )


def _train(
    cell: Cell, context: Context, data: ImageDataset, model: Any, teacher: Any, **objective: Any
) -> tuple["TrainingResult", Outcome]:
    """Train `model`, following it on the test images after each epoch; a killed training goes on where it was."""
    recipe = cells.cell_recipe(cell)
    batches = training_batches(recipe, data, cell.seed, cell.dtype, repeat=cell.repeat)
    resuming = checkpoint.arguments(cell, cells.own_key(cell, context), context)
    logits: list[np.ndarray] = []

    def on_epoch(epoch: int, student: Any, epoch_loss: float) -> dict[str, float]:
        logits[:] = [context.harness.predict(student, data.test_images)]
        found = {
            "test/accuracy": metrics.accuracy(logits[0], data.test_labels),
            "test/nll": metrics.negative_log_likelihood(logits[0], data.test_labels),
        }
        if epoch + 1 < recipe["epochs"] and context.stop(epoch + 1, found["test/accuracy"]):
            raise StopTraining(found)
        return found

    machine.reset_peak()
    started = time.perf_counter()
    result = context.harness.train(
        teacher,
        model,
        Reported(batches, recipe["epochs"], context.report),
        dtype=cell.dtype,
        precision=cell.precision,
        learning_rate=learning_rate(recipe, len(batches)),
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        epochs=recipe["epochs"],
        progress=False,
        on_epoch=on_epoch,
        **resuming,
        **objective,
    )
    total = time.perf_counter() - started
    curves = {"train/loss": [float(loss) for loss in result.epoch_losses], "test/accuracy": [], "test/nll": []}
    for measured in result.epoch_metrics:
        for name, value in (measured or {}).items():
            curves[name].append(value)
    if not logits or result.status != "ok":
        logits[:] = [context.harness.predict(result.student, data.test_images)]
    teacher_logits = _teacher_test_logits(cell, context, data)
    measured = metrics.evaluate(logits[0], data.test_labels, teacher_logits)
    measured["train/loss"] = float(result.epoch_losses[-1]) if result.epoch_losses else float("nan")
    if curves["test/accuracy"]:
        measured["test/best_accuracy"] = max(curves["test/accuracy"])
    if find.RECIPES[cell.dataset].robustness and result.status == "ok":
        measured |= _robustness(context, data, result.student)
    measured |= _timings(context, result, total)
    status, message = _ending(result, len(curves["test/accuracy"]), recipe["epochs"])
    details = {
        "recipe": recipe.plain(),
        "sources": recipe.sources(),
        "steps": len(result.step_losses),
        step_losses.NAME: step_losses.keep(result.step_losses),
        "data": _described(data),
        "reported": "last epoch; test/best_accuracy is the best one's",
    }
    if curves["test/accuracy"]:
        details["best_epoch"] = int(np.argmax(curves["test/accuracy"])) + 1
        measured["test/best_epoch"] = float(details["best_epoch"])
    if teacher_logits is not None:
        details["logits"] = _sample(logits[0], teacher_logits)
    return result, Outcome(status, message, measured, curves, details)


def _ending(result: "TrainingResult", done: int, epochs: int) -> tuple[str, str]:
    """Status and message of a training's record."""
    if result.status == "stopped":
        return "pruned", f"stopped after {done} of {epochs} epochs: other settings of its sweep were better by then"
    message = "" if result.status == "ok" else f"the loss was not finite after {len(result.step_losses)} steps"
    return result.status, message


def _robustness(context: Context, data: ImageDataset, model: Any) -> dict[str, float]:
    """Accuracy on corrupted test images, by kind and severity, and its mean."""
    found = {
        metric_name(kind, severity): metrics.accuracy(
            context.harness.predict(model, data.normalisation(images)), data.test_labels
        )
        for kind, severity, images in corrupted_test_images(data)
    }
    return found | {"test/accuracy_corrupted": float(np.mean(list(found.values())))}


def _sample(student_logits: np.ndarray, teacher_logits: np.ndarray) -> dict[str, Any]:
    """Student and teacher logits `[rows, classes]` of the first test examples, for the analysis of a finished run."""
    rows = min(SAMPLE_ROWS, max(1, SAMPLE_ENTRIES // student_logits.shape[-1]))
    sides = {"student": student_logits, "teacher": teacher_logits}
    return {name: np.round(np.asarray(side[:rows], np.float64), 4).tolist() for name, side in sides.items()}


def _timings(context: Context, result: "TrainingResult", total: float) -> dict[str, float]:
    """Times and memory of a training: the median step, what the first cost beyond it, the whole, the peak."""
    peak = context.harness.peak_memory_bytes()
    steps = result.step_seconds[1:] or result.step_seconds
    return {
        "time/step_ms": 1000 * statistics.median(steps) if steps else float("nan"),
        "time/compile_s": float(result.compile_seconds),
        "time/total_s": total,
        "memory/peak_mb": (machine.peak_bytes() if peak is None else peak) / 1e6,
    }


def _trained_teacher(cell: Cell, context: Context) -> Any:
    """The teacher of a student's cell, loaded from the store once a command.

    Raises:
        CellStopped: its weights are not there.
    """
    key = cells.teacher_key(cell, context)
    if context.cache.get(("teacher", key)) is None:
        path = context.store.weights_path(key)
        if not path.is_file():
            raise CellStopped(
                "missing-weights",
                f"the teacher {cell.pair.split(':')[0]!r} has no weights in the store: its own cell did not end as ok; "
                "run the command again to train it",
            )
        spec = model_spec(split_pair(cell.pair)[0], cell.dataset, cell.scale)
        context.cache["teacher", key] = context.harness.build_model(spec, weight_files.read_weights(path, spec), cell.dtype)
    return context.cache["teacher", key]


def _teacher_test_logits(cell: Cell, context: Context, data: ImageDataset) -> np.ndarray | None:
    """The teacher's logits on the test images; None for the teacher itself."""
    if cell.method == cells.TEACHER:
        return None
    key = cells.teacher_key(cell, context)
    if ("test logits", key) not in context.cache:
        context.cache["test logits", key] = context.harness.predict(_trained_teacher(cell, context), data.test_images)
    return context.cache["test logits", key]


def _trace(cell: Cell, context: Context) -> Outcome:
    """The first steps of a training from a teacher that was never trained: the same arrays in every backend."""
    data = _data(cell)
    recipe = cells.cell_recipe(cell)
    teacher_name, student_name = split_pair(cell.pair)
    specs = tuple(model_spec(name, cell.dataset, cell.scale) for name in (teacher_name, student_name))
    seeds = find.TRACE_TEACHER_SEED, cell.seed
    teacher, student = (
        context.harness.build_model(spec, networks.initial_weights(spec, seed), cell.dtype)
        for spec, seed in zip(specs, seeds, strict=True)
    )
    batches = Batches(data, recipe["batch_size"], cell.seed, dtype=cell.dtype, steps=find.TRACE_STEPS)
    started = time.perf_counter()
    result = context.harness.train(
        teacher if methods.get(cell.method).needs_teacher else None,
        student,
        batches,
        dtype=cell.dtype,
        learning_rate=learning_rate(recipe, len(batches)),
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        epochs=recipe["epochs"],
        progress=False,
        **_objective(cell),
    )
    total = time.perf_counter() - started
    weights = context.harness.export_weights(result.student)
    images = data.test_images[: find.TRACE_IMAGES].astype(cell.dtype)
    trace = {
        "losses": [float(loss) for loss in result.step_losses],
        "logits": np.asarray(context.harness.predict(result.student, images), np.float64).tolist(),
        "statistics": {
            name: np.asarray(array, np.float64).tolist()
            for name, array in weights.items()
            if name.endswith(("running_mean", "running_var"))
        },
    }
    message = "" if result.status == "ok" else f"the loss was not finite after {len(result.step_losses)} steps"
    measured = {"train/loss": trace["losses"][-1] if trace["losses"] else float("nan")} | _timings(context, result, total)
    return Outcome(result.status, message, measured, {}, {"trace": trace, "recipe": recipe.plain()})
