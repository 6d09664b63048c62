"""Kinds of problem: which networks solve them, what a batch is, how a student is judged. One row a task."""

from suites.tasks.classification.task import TASK as CLASSIFICATION
from suites.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION,)}


def get(name: str) -> Task:
    """The task called `name`; ValueError lists the known ones."""
    if name not in TASKS:
        raise ValueError(f"task={name!r} is not known; choose one of {', '.join(TASKS)}")
    return TASKS[name]
