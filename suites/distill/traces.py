"""The first steps of a training from a teacher that was never trained: the same arrays in every backend."""

import time

import numpy as np

from backends.common import methods, networks
from suites.distill.cells import Training
from suites.distill.recipes import find
from suites.distill.training import message_of, run_steps, timings
from suites.suite import Context, Outcome


def run(training: Training, context: Context) -> Outcome:
    """Train for a few steps, and keep losses, outputs and running statistics."""
    cell, task, harness, data = training.cell, training.task, context.harness, training.load()
    teacher, student = (
        harness.build_model(network, networks.initial_weights(network, seed), cell.dtype)
        for network, seed in ((training.teacher, find.TRACE_TEACHER_SEED), (training.student, cell.seed))
    )
    batches = task.batches["fixed"](training.recipe.training, data, cell.seed, cell.dtype, steps=training.recipe.steps)
    started = time.perf_counter()
    result = run_steps(training, context, teacher if methods.get(cell.method).needs_teacher else None, student, batches)
    total = time.perf_counter() - started
    inputs = task.inputs(data, find.TRACE_EXAMPLES).astype(cell.dtype)
    trace = {
        "losses": [float(loss) for loss in result.step_losses],
        "logits": np.asarray(harness.predict(result.student, inputs), np.float64).tolist(),
        "statistics": {
            name: np.asarray(array, np.float64).tolist()
            for name, array in harness.export_weights(result.student).items()
            if name.endswith(("running_mean", "running_var"))
        },
    }
    metrics = {"train/loss": trace["losses"][-1] if trace["losses"] else float("nan")} | timings(context, result, total)
    return Outcome(result.status, message_of(result), metrics, {}, {"trace": trace, "recipe": training.recipe.flat()})
