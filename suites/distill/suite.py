"""Distillation: teachers and students trained on real data, measured on its test part."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from results import atomic
from suites.cell import Cell
from suites.distill import cells, checkpoint, students, teachers, traces
from suites.distill.recipes import find
from suites.suite import Context, Outcome, Report, Stop, Suite

if TYPE_CHECKING:
    from results.records.record import Record

# seconds of an epoch on two cores where the recipes do not say how long one takes
EPOCH_SECONDS = 1.0


def _run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Train and measure one cell: a teacher, a student, or a trace."""
    training = cells.resolve(cell, context)
    if cell.scale == "trace":
        return traces.run(training, context)
    if cell.method == cells.TEACHER:
        outcome = teachers.run(training, context, stop, report)
        if outcome.status == "ok":
            _adopted(training.key, context).unlink(missing_ok=True)
        return outcome
    outcome = students.run(training, context, stop, report)
    mark = _adopted(training.taught_by.key, context)
    if mark.is_file():
        outcome.details["teacher_of_other_code"] = json.loads(mark.read_text(encoding="utf-8"))
    return outcome


def _adopted(key: str, context: Context) -> Path:
    """Lies beside a teacher's weights that other code has trained, and says which; students note it in their records."""
    return context.store.weights_path(key).with_suffix(".adopted.json")


def _has_products(record: "Record", context: Context) -> bool:
    """A teacher counts as finished only while its weights are in the store, a student that is to be kept likewise."""
    of_student = record.cell.get("method") != cells.TEACHER and record.cell.get("scale") != "trace"
    if context.keep_students and record.status == "ok" and of_student:
        return "student" in record.artifacts and (context.store.path / record.artifacts["student"]).is_file()
    return record.cell.get("method") != cells.TEACHER or context.store.weights_path(record.key).is_file()


def _adopt(record: "Record", key: str, context: Context) -> None:
    """A teacher's weights that another state of the code has trained count as those of `key`."""
    weights = context.store.weights_path(record.key)
    if record.cell.get("method") == cells.TEACHER and weights.is_file():
        atomic.write(context.store.weights_path(key), weights.read_bytes())
        code = record.details.get("decided", {}).get("code", {})
        atomic.write(_adopted(key, context), json.dumps({"key": record.key, "code": code}))


def _teacher_of(cell: Cell, context: Context) -> str | None:
    """Key of the teacher that a student or a trace learns from, or is compared with."""
    taught_by = cells.resolve(cell, context).taught_by
    return None if taught_by is None else taught_by.key


def _guess_seconds(cell: Cell) -> float:
    """Seconds that a cell takes; the records of cells that have run replace this."""
    recipes = find.RECIPES[cell.dataset]
    of_teacher, of_student = recipes.epoch_seconds.get(cell.scale, (EPOCH_SECONDS, EPOCH_SECONDS))
    if cell.scale == "trace":
        return of_student
    of_role, seconds = (recipes.teachers, of_teacher) if cell.method == cells.TEACHER else (recipes.students, of_student)
    return dict(cell.numbers).get("epochs", of_role[cell.scale]["epochs"].value) * seconds


SUITE = Suite(
    name="distill",
    cells=cells.cells,
    recipe=lambda cell, context: cells.resolve(cell, context).material,
    code=cells.code,
    run=_run,
    guess_seconds=_guess_seconds,
    refusal=cells.refusal,
    has_products=_has_products,
    begun=checkpoint.begun,
    adopt=_adopt,
    needs=_teacher_of,
    clean_up=checkpoint.remove,
)
