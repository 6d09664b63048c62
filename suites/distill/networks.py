"""Specifications of networks by the names that users type."""

from typing import Any

from suites import datasets, tasks
from suites.distill.recipes import find


def specification(name: str, dataset: str, scale: str) -> Any:
    """Specification of a network for a data set, from what is known of the data set without reading it.

    Args:
        name: a further name in the recipes of a data set, or one that the data set's task knows.
        dataset: a name in `suites.datasets.TABLE`.
        scale: of the data.

    Raises:
        ValueError: the name is neither.
    """
    further, row = find.model_names(), datasets.get(dataset)
    try:
        return tasks.get(row.task).network(further.get(name, name), row.facts(scale))
    except ValueError as error:
        raise ValueError(f"{error}; or one of {', '.join(further)}") from error


def split_pair(pair: str) -> tuple[str, str]:
    """ "teacher:student" → (teacher, student).

    Raises:
        ValueError: it does not read like that.
    """
    teacher, separator, student = pair.partition(":")
    if not (teacher and separator and student) or ":" in student:
        known = dict.fromkeys(pair for recipes in find.RECIPES.values() for pair in recipes.default_pair.values())
        raise ValueError(f"pair {pair!r} is not known; write teacher:student, e.g. {', '.join(known)}")
    return teacher, student
