"""Train the network of a cell and measure it."""

import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import architectures, methods
from suites import datasets, memory
from suites.cell import Cell
from suites.datasets.base import ImageDataset
from suites.distill import cells, metrics, recipes
from suites.distill.batches import Batches
from suites.distill.schedules import learning_rate
from suites.selection import model_spec, split_pair
from suites.suite import CellStopped, Context, Outcome

if TYPE_CHECKING:
    from backends.training_result import TrainingResult
    from results.records import Record


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
    """Train a teacher on the labels and keep its weights for the students."""
    data = datasets.load(cell.dataset)
    spec = model_spec(cell.pair, cell.dataset)
    model = context.harness.build_model(spec, architectures.initial_weights(spec, cell.seed), cell.dtype)
    result, outcome = _train(cell, context, data, model, None, method="sft", hard_weight=1.0)
    outcome.details["parameters"] = architectures.parameter_count(spec)
    if result.status == "ok":
        key = cells.teacher_key(cell, context)
        _save_weights(context.store.weights_path(key), context.harness.export_weights(result.student))
        context.cache["teacher", key] = None
    return outcome


def _student(cell: Cell, context: Context) -> Outcome:
    """Train a student, from the data set's teacher where its method has one."""
    data = datasets.load(cell.dataset)
    spec = model_spec(split_pair(cell.pair)[1], cell.dataset)
    model = context.harness.build_model(spec, architectures.initial_weights(spec, cell.seed), cell.dtype)
    teacher = _trained_teacher(cell, context)
    training_teacher = teacher if methods.get(cell.method).needs_teacher else None
    result, outcome = _train(cell, context, data, model, training_teacher, **_objective(cell))
    outcome.details["parameters"] = architectures.parameter_count(spec)
    if context.keep_students and result.status == "ok":
        outcome.files["student"] = lambda path: _save_weights(path, context.harness.export_weights(result.student))
    return outcome


def _objective(cell: Cell) -> dict[str, Any]:
    """The method and its numbers, as `train_student` takes them."""
    has = methods.get(cell.method).parameters
    return {"method": cell.method, **{name: value for name, value in cell.options if name in has}}


def _train(
    cell: Cell, context: Context, data: ImageDataset, model: Any, teacher: Any, **objective: Any
) -> tuple["TrainingResult", Outcome]:
    """Train `model`, following it on the test images after each epoch."""
    recipe = cells.cell_recipe(cell)
    batches = Batches(data, recipe["batch_size"], cell.seed, dtype=cell.dtype)
    curves: dict[str, list[float]] = {"train/loss": [], "test/accuracy": [], "test/nll": []}
    logits: list[np.ndarray] = []

    def on_epoch(epoch: int, student: Any, epoch_loss: float) -> None:
        logits[:] = [context.harness.predict(student, data.test_images)]
        curves["train/loss"].append(float(epoch_loss))
        curves["test/accuracy"].append(metrics.accuracy(logits[0], data.test_labels))
        curves["test/nll"].append(metrics.negative_log_likelihood(logits[0], data.test_labels))
        context.report((epoch + 1) / recipe["epochs"])

    memory.reset_peak()
    started = time.perf_counter()
    result = context.harness.train(
        teacher, model, batches, dtype=cell.dtype, learning_rate=learning_rate(recipe, len(batches)),
        momentum=recipe["momentum"], weight_decay=recipe["weight_decay"], epochs=recipe["epochs"], progress=False,
        on_epoch=on_epoch, **objective,
    )  # fmt: skip
    total = time.perf_counter() - started
    if not logits or result.status != "ok":
        logits[:] = [context.harness.predict(result.student, data.test_images)]
    measured = metrics.evaluate(logits[0], data.test_labels, _teacher_test_logits(cell, context, data))
    measured["train/loss"] = float(result.epoch_losses[-1]) if result.epoch_losses else float("nan")
    measured |= _timings(context, result, total)
    message = "" if result.status == "ok" else f"the loss was not finite after {len(result.step_losses)} steps"
    details = {"recipe": recipe.plain(), "sources": recipe.sources(), "steps": len(result.step_losses),
               "data": {"source": data.source, "digest": data.digest}}  # fmt: skip
    return result, Outcome(result.status, message, measured, curves, details)


def _timings(context: Context, result: "TrainingResult", total: float) -> dict[str, float]:
    """Times and memory of a training: the median step, what the first cost beyond it, the whole, the peak."""
    peak = context.harness.peak_memory_bytes()
    steps = result.step_seconds[1:] or result.step_seconds
    return {
        "time/step_ms": 1000 * statistics.median(steps) if steps else float("nan"),
        "time/compile_s": float(result.compile_seconds),
        "time/total_s": total,
        "memory/peak_mb": (memory.peak_bytes() if peak is None else peak) / 1e6,
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
        from safetensors.numpy import load_file

        spec = model_spec(split_pair(cell.pair)[0], cell.dataset)
        context.cache["teacher", key] = context.harness.build_model(spec, load_file(path), cell.dtype)
    return context.cache["teacher", key]


def _teacher_test_logits(cell: Cell, context: Context, data: ImageDataset) -> np.ndarray | None:
    """The teacher's logits on the test images; None for the teacher itself."""
    if cell.method == cells.TEACHER:
        return None
    key = cells.teacher_key(cell, context)
    if ("test logits", key) not in context.cache:
        context.cache["test logits", key] = context.harness.predict(_trained_teacher(cell, context), data.test_images)
    return context.cache["test logits", key]


def _save_weights(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Write weights so that a reader never sees half a file."""
    from safetensors.numpy import save_file

    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, temporary)
    os.replace(temporary, path)


def _trace(cell: Cell, context: Context) -> Outcome:
    """The first steps of a training from a teacher that was never trained: the same arrays in every backend."""
    data = datasets.load(cell.dataset)
    recipe = cells.cell_recipe(cell)
    teacher_name, student_name = split_pair(cell.pair)
    specs = model_spec(teacher_name, cell.dataset), model_spec(student_name, cell.dataset)
    seeds = recipes.TRACE_TEACHER_SEED, cell.seed
    teacher, student = (
        context.harness.build_model(spec, architectures.initial_weights(spec, seed), cell.dtype)
        for spec, seed in zip(specs, seeds, strict=True)
    )
    batches = Batches(data, recipe["batch_size"], cell.seed, dtype=cell.dtype, steps=recipes.TRACE_STEPS)
    started = time.perf_counter()
    result = context.harness.train(
        teacher if methods.get(cell.method).needs_teacher else None, student, batches, dtype=cell.dtype,
        learning_rate=learning_rate(recipe, len(batches)), momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"], epochs=recipe["epochs"], progress=False, **_objective(cell),
    )  # fmt: skip
    total = time.perf_counter() - started
    weights = context.harness.export_weights(result.student)
    images = data.test_images[: recipes.TRACE_IMAGES].astype(cell.dtype)
    trace = {
        "losses": [float(loss) for loss in result.step_losses],
        "logits": np.asarray(context.harness.predict(result.student, images), np.float64).tolist(),
        "statistics": {
            name: np.asarray(array, np.float64).tolist() for name, array in weights.items()
            if name.endswith(("running_mean", "running_var"))
        },
    }  # fmt: skip
    message = "" if result.status == "ok" else f"the loss was not finite after {len(result.step_losses)} steps"
    measured = {"train/loss": trace["losses"][-1] if trace["losses"] else float("nan")} | _timings(
        context, result, total
    )
    return Outcome(result.status, message, measured, {}, {"trace": trace, "recipe": recipe.plain()})
