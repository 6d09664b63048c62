"""Train the network of a cell and measure it, as its task says."""

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.common.training.loop import StopTraining
from results import metrics as metrics_table
from results.records import step_losses
from suites.distill import checkpoint
from suites.distill.cells import Training
from suites.distill.reporting import Reported
from suites.distill.schedules import learning_rate
from suites.running import machine
from suites.suite import Context, Outcome, Report, Stop
from suites.tasks.task import Evaluation

if TYPE_CHECKING:
    from backends.common.training.result import TrainingResult

# of the test outputs that a student's record keeps: rows, and entries where there are many classes
SAMPLE_ROWS, SAMPLE_ENTRIES = 32, 4096


def train(
    training: Training,
    context: Context,
    data: Any,
    model: Any,
    teacher: Any,
    stop: Stop,
    report: Report,
    teacher_outputs: np.ndarray | None = None,
) -> tuple["TrainingResult", Outcome]:
    """Train `model`, following it on the test examples after each epoch; a killed training goes on where it was.

    Args:
        training: what is trained, and how.
        context: what all cells share.
        data: of the training's data set.
        model: the network, with its first weights.
        teacher: the network that it learns from, None where its method has none.
        stop, report: as of a suite's `run`.
        teacher_outputs: the teacher's on the test examples, for comparison; None for a teacher itself.
    """
    cell, task, numbers = training.cell, training.task, training.recipe.training
    batches = task.batches["fixed"](numbers, data, cell.seed, cell.dtype, repeat=cell.repeat)
    last: list[Evaluation] = []
    sign = metrics_table.find(task.judged_by).sign

    def on_epoch(epoch: int, student: Any, epoch_loss: float) -> dict[str, float]:
        last[:] = [task.evaluate(context.harness, student, data)]
        measured = last[0].metrics
        if epoch + 1 < numbers["epochs"] and stop(epoch + 1, sign * measured[task.judged_by]):
            raise StopTraining(measured)
        return measured

    machine.reset_peak()
    started = time.perf_counter()
    result = run_steps(
        training,
        context,
        teacher,
        model,
        Reported(batches, numbers["epochs"], report),
        precision=cell.precision,
        on_epoch=on_epoch,
        **checkpoint.arguments(training, context),
    )
    total = time.perf_counter() - started
    curves: dict[str, list[float]] = {"train/loss": [float(loss) for loss in result.epoch_losses]}
    for measured in result.epoch_metrics:
        for name, value in (measured or {}).items():
            curves.setdefault(name, []).append(value)
    outputs = last[0].outputs if last and result.status == "ok" else None
    final = task.evaluate(context.harness, result.student, data, outputs, teacher_outputs, whole=True)
    metrics = final.metrics | {"train/loss": float(result.epoch_losses[-1]) if result.epoch_losses else float("nan")}
    if result.status == "ok":
        metrics |= task.examine(context.harness, result.student, data)
    metrics |= timings(context, result, total)
    details = {
        "recipe": training.recipe.flat(),
        "sources": training.recipe.sources(),
        "steps": len(result.step_losses),
        step_losses.NAME: step_losses.keep(result.step_losses),
        "data": described(training, data),
    }
    details |= _best_epoch(curves.get(task.judged_by, []), task.judged_by, metrics)
    if teacher_outputs is not None:
        details["logits"] = _sample(final.outputs, teacher_outputs)
    status, message = _ending(result, len(result.epoch_metrics), numbers["epochs"])
    return result, Outcome(status, message, metrics, curves, details)


def run_steps(
    training: Training, context: Context, teacher: Any, model: Any, batches: Any, **arguments: Any
) -> "TrainingResult":
    """The backend's training by the numbers of a recipe; `arguments` are passed on."""
    numbers = training.recipe.training
    return context.harness.train(
        teacher,
        model,
        batches,
        dtype=training.cell.dtype,
        learning_rate=learning_rate(numbers, len(batches)),
        momentum=numbers["momentum"],
        weight_decay=numbers["weight_decay"],
        epochs=numbers["epochs"],
        progress=False,
        **arguments,
        **training.objective,
    )


def described(training: Training, data: Any) -> dict[str, Any]:
    """The data, for a record."""
    about = {"source": data.source, "digest": training.data_digest, "stand_in": data.stand_in, **data.described()}
    # each seed has another digest then, which makes it no other data set
    return about if training.data_seed is None else about | {"drawn_by_seed": True}


def _best_epoch(curve: list[float], judged_by: str, metrics: dict[str, float]) -> dict[str, Any]:
    """Details on the best epoch, whose figures are added to the metrics; the last epoch's are the record's own."""
    name = judged_by.replace("/", "/best_", 1)
    details: dict[str, Any] = {"reported": f"last epoch; {name} is the best one's"}
    if curve:
        best = curve.index(metrics_table.find(judged_by).best(curve))
        details["best_epoch"] = best + 1
        metrics |= {name: curve[best], f"{name.partition('/')[0]}/best_epoch": float(best + 1)}
    return details


def _ending(result: "TrainingResult", done: int, epochs: int) -> tuple[str, str]:
    """Status and message of a training's record."""
    if result.status == "stopped":
        return "pruned", f"stopped after {done} of {epochs} epochs: other settings of its sweep were better by then"
    return result.status, message_of(result)


def message_of(result: "TrainingResult") -> str:
    """Why a training did not end as ok; empty where it did."""
    return "" if result.status == "ok" else f"the loss was not finite after {len(result.step_losses)} steps"


def _sample(student_outputs: np.ndarray, teacher_outputs: np.ndarray) -> dict[str, Any]:
    """Outputs `[rows, classes]` of student and teacher for the first test examples, for the analysis of a finished run."""
    rows = min(SAMPLE_ROWS, max(1, SAMPLE_ENTRIES // student_outputs.shape[-1]))
    sides = {"student": student_outputs, "teacher": teacher_outputs}
    return {name: np.round(np.asarray(side[:rows], np.float64), 4).tolist() for name, side in sides.items()}


def timings(context: Context, result: "TrainingResult", total: float) -> dict[str, float]:
    """Times and memory of a training: the median step, what the first cost beyond it, the whole, the peak."""
    peak = context.harness.peak_memory_bytes()
    steps = result.step_seconds[1:] or result.step_seconds
    return {
        "time/step_ms": 1000 * statistics.median(steps) if steps else float("nan"),
        "time/compile_s": float(result.compile_seconds),
        "time/total_s": total,
        "memory/peak_mb": (machine.peak_bytes() if peak is None else peak) / 1e6,
    }
