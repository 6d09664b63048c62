"""Train a student, from the data set's teacher where its method has one."""

import functools

from backends.common import methods, networks, weight_files
from suites.distill import teachers
from suites.distill.cells import Training
from suites.distill.training import train
from suites.suite import Context, Outcome, Report, Stop


def run(training: Training, context: Context, stop: Stop, report: Report) -> Outcome:
    """Train and measure a student."""
    cell, harness, data = training.cell, context.harness, training.load()
    model = harness.build_model(training.student, networks.initial_weights(training.student, cell.seed), cell.dtype)
    teacher = teachers.trained(training.taught_by, context)
    teacher_outputs = teachers.test_outputs(training.taught_by, context, data)
    learns_from = teacher if methods.get(cell.method).needs_teacher else None
    result, outcome = train(training, context, data, model, learns_from, stop, report, teacher_outputs)
    outcome.details["parameters"] = networks.parameter_count(training.student)
    if context.keep_students and result.status == "ok":
        # not a lambda: an outcome may come from another process
        save = functools.partial(weight_files.save_weights, arrays=harness.export_weights(result.student))
        outcome.files["student"] = save
    return outcome
