"""Numbers of a training that the user puts in place of the recipe's: `--set epochs=10 learning_rate=0.1,0.05`.

Names are the recipe's own; with `teacher.` before them they are of the teacher's training. A number that is as in the
recipe changes nothing, so that its cell is the one that there is without it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

from backends.common import methods
from suites.cell import Cell, number_word
from suites.distill import defaults
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Values
from suites.distill.schedules import SCHEDULES, STEPS
from suites.selection import SWEEP, Selection

# before names of the teacher's training
OF_TEACHER = "teacher."
# suites that train by a recipe
TRAINING_SUITES = ("distill", SWEEP)


@dataclass(frozen=True)
class _Kind:
    """What a number may be.

    Attributes:
        words: that, for people.
        read: a typed number or word → the number; None where it is none of this kind.
        is_real: whether every number of a range is allowed.
    """

    words: str
    read: Callable[[float | str], Any]
    is_real: bool = False


def _whole(least: int) -> _Kind:
    def read(typed: float | str) -> int | None:
        is_whole = isinstance(typed, float) and typed.is_integer() and least <= typed < 2**53
        return int(typed) if is_whole else None

    return _Kind(f"a whole number of at least {least}", read)


def _real(words: str, allowed: Callable[[float], bool] = math.isfinite) -> _Kind:
    return _Kind(words, lambda t: t if isinstance(t, float) and math.isfinite(t) and allowed(t) else None, is_real=True)


def _yes_or_no(typed: float | str) -> bool | None:
    return {"true": True, "false": False, "1.0": True, "0.0": False}.get(str(typed).lower())


def _rising(typed: float | str) -> tuple[int, ...] | None:
    words = [str(int(typed))] if isinstance(typed, float) and typed.is_integer() else str(typed).split("/")
    numbers = tuple(int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 16)
    is_rising = len(numbers) == len(words) and list(numbers) == sorted(set(numbers)) and numbers[0] > 0
    return numbers if is_rising else None


_SCHEDULES = (*SCHEDULES, STEPS)
_KINDS = {
    "epochs": _whole(1),
    "batch_size": _whole(1),
    "warm_up_steps": _whole(0),
    "pad": _whole(0),
    "learning_rate": _real("a number greater than 0", lambda value: value > 0),
    "momentum": _real("a number of at least 0 and below 1", lambda value: 0 <= value < 1),
    "weight_decay": _real("a number of at least 0", lambda value: value >= 0),
    "decay": _real("a number greater than 0", lambda value: value > 0),
    "flip": _Kind("true or false", _yes_or_no),
    "milestones": _Kind("rising numbers of epochs, such as 75/90/105,", _rising),
    "schedule": _Kind(f"one of {', '.join(_SCHEDULES)}", lambda typed: typed if typed in _SCHEDULES else None),
}


def is_of_training(name: str) -> bool:
    """Whether a name is of a training's number, known or not: no method has a parameter of this name."""
    return not any(name in method.parameters for method in methods.METHODS.values())


def check(selection: Selection, chosen: Mapping[str, Sequence[float | str]]) -> None:
    """Check names and numbers against the recipes of the selection.

    Args:
        selection: what the user asked for.
        chosen: of it the numbers of trainings; of a range its two ends.

    Raises:
        ValueError: a name that a recipe does not have, or a number that is not allowed; the message lists what is.
    """
    for name, values in selection.settings:
        words = [value for value in values if isinstance(value, str)]
        if words and not is_of_training(name):
            raise ValueError(f"--set {name}={words[0]}: {words[0]!r} is no number; write one, or several with commas")
    ranges = dict(selection.sweep.ranges) if selection.sweep is not None else {}
    for name, values in chosen.items():
        shown = f"--set {name}={ranges.get(name, number_word(_plain(values[0])))}"
        for dataset, _ in defaults.trainings(selection):
            recipe = _recipe(name, dataset, selection.scale)
            if _bare(name) not in recipe:
                raise ValueError(f"{shown}: {_what_there_is(name, dataset, selection)}")
            kind = _kind(name, recipe)
            for value in values:
                if kind.read(value) is None:
                    usual = number_word(recipe[_bare(name)].value)
                    typed = number_word(_plain(value))
                    raise ValueError(f"--set {name}={typed}: {kind.words} is allowed; the recipe of {dataset!r} has {usual}")
            if name in ranges and not kind.is_real:
                raise ValueError(f"{shown}: {kind.words} is allowed, no range of numbers; write a list of values")
            if _bare(name) == "schedule" and STEPS in values and not {"milestones", "decay"} <= recipe.keys():
                raise ValueError(
                    f"{shown}: {STEPS!r} needs milestones, which the recipe of {dataset!r} has not; choose one of "
                    f"{', '.join(SCHEDULES)}"
                )
        if not set(selection.suites) & set(TRAINING_SUITES):
            raise ValueError(
                f"{shown} is a number of a training and fits none of the chosen suites ({', '.join(selection.suites)}); "
                "name a suite that trains, such as distill"
            )
        if name.startswith(OF_TEACHER) and selection.teacher_weights is not None:
            raise ValueError(f"{shown} and teacher-weights: a teacher that is given is not trained; leave one of them out")


def _what_there_is(name: str, dataset: str, selection: Selection) -> str:
    """Why a name is not known, the nearest one, and all that are."""
    used = dict.fromkeys(m for d, _ in defaults.trainings(selection) for m in defaults.methods_of(selection, d))
    parameters = sorted({parameter for m in used for parameter in methods.METHODS[m].parameters})
    students, teachers = (_recipe(prefix, dataset, selection.scale) for prefix in ("", OF_TEACHER))
    near = get_close_matches(name.lower(), [*parameters, *students, *(OF_TEACHER + t for t in teachers)], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"no method has a parameter {name!r}, and no recipe a number{hint}; the chosen methods ({', '.join(used)}) have "
        f"{', '.join(parameters)}; trainings on {dataset!r} have {', '.join(students)}, a teacher's with {OF_TEACHER!r} before"
    )


def combinations(selection: Selection, dataset: str) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Every combination of the numbers that the user chose, as cells have them: without those that are the recipe's."""
    lists = {}
    for name, values in sorted(dict(selection.settings).items()):
        if is_of_training(name):
            recipe = _recipe(name, dataset, selection.scale)
            lists[name] = tuple(dict.fromkeys(_kind(name, recipe).read(value) for value in values))
    usual = {name: _recipe(name, dataset, selection.scale)[_bare(name)].value for name in lists}
    for numbers in product(*lists.values()):
        yield tuple((name, value) for name, value in zip(lists, numbers, strict=True) if value != usual[name])


def of_teacher(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Numbers of the teacher's training, of a student's cell."""
    return tuple((_bare(name), value) for name, value in cell.numbers if name.startswith(OF_TEACHER))


def of_student(cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Numbers of its own training, of a student's cell."""
    return tuple((name, value) for name, value in cell.numbers if not name.startswith(OF_TEACHER))


def usual(cell: Cell, name: str) -> Any:
    """The recipe's number of this name."""
    return _recipe(name, cell.dataset, cell.scale)[_bare(name)].value


def _bare(name: str) -> str:
    return name.removeprefix(OF_TEACHER)


def _recipe(name: str, dataset: str, scale: str) -> Values:
    """Numbers of the training that a name is of."""
    recipes = find.of_dataset(dataset, scale)
    return dict((recipes.teachers if name.startswith(OF_TEACHER) else recipes.students)[scale])


def _kind(name: str, recipe: Values) -> _Kind:
    """What a number may be; one that this project does not know is of its recipe's type."""
    value = recipe[_bare(name)].value
    if _bare(name) in _KINDS:
        return _KINDS[_bare(name)]
    if isinstance(value, bool):
        return _KINDS["flip"]
    if isinstance(value, str):
        return _Kind("a word", str)
    return _real("a finite number")


def _plain(typed: float | str) -> Any:
    """A typed number as people write it: 10 rather than 10.0."""
    return int(typed) if isinstance(typed, float) and typed.is_integer() and abs(typed) < 2**53 else typed
