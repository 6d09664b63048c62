"""Checks of arguments that the three backends and the reference state alike."""

import math
from collections.abc import Sequence
from inspect import signature
from types import ModuleType

REDUCTIONS = ("mean", "sum", "none")
# label of rows that no term of a training loss counts
IGNORED_LABEL = -100
# bytes of an element, by the types that logits may have
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def check_number(name: str, value: float) -> float:
    """Return `value` as a finite float, or raise a ValueError that names it."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={value!r} is not a number; any finite real number is allowed") from error
    if not math.isfinite(number):
        raise ValueError(f"{name}={value!r} is not allowed; any finite real number is")
    return number


def check_fraction(name: str, value: float) -> float:
    """Return `value` as a float strictly between 0 and 1, or raise a ValueError that names it."""
    number = check_number(name, value)
    if not 0 < number < 1:
        raise ValueError(f"{name}={value!r} is not allowed; it must be greater than 0 and less than 1")
    return number


def check_not_negative(name: str, value: float) -> float:
    """Return `value` as a finite float that is 0 or greater, or raise a ValueError that names it."""
    number = check_number(name, value)
    if number < 0:
        raise ValueError(f"{name}={value!r} is not allowed; it must be 0 or greater")
    return number


def check_temperature(temperature: float) -> float:
    """Return `temperature` as a positive finite float, or raise a ValueError that names it."""
    number = check_number("temperature", temperature)
    if number <= 0:
        raise ValueError(
            f"temperature={temperature!r} is not allowed; it must be greater than 0 (1.0 leaves logits as they are)"
        )
    return number


def check_reduction(reduction: str) -> str:
    """Return `reduction`, or raise a ValueError that lists the known ones."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is not known; choose one of {', '.join(REDUCTIONS)}")
    return reduction


def check_shapes(student_shape: Sequence[int], teacher_shape: Sequence[int], mask_shape: Sequence[int] | None = None) -> None:
    """Check logits `[..., C]` against each other and against the mask `[...]`.

    Raises:
        ValueError: the shapes differ, there is no class axis, no class, or the mask does not have the leading shape.
    """
    student, teacher = tuple(student_shape), tuple(teacher_shape)
    if student != teacher:
        raise ValueError(
            f"student_logits has shape {student} and teacher_logits {teacher}; both must have the same shape [..., classes]"
        )
    if not student or student[-1] == 0:
        raise ValueError(f"student_logits has shape {student}; the last axis must hold at least one class")
    if mask_shape is not None and tuple(mask_shape) != student[:-1]:
        raise ValueError(
            f"mask has shape {tuple(mask_shape)}; it must have the logits' leading shape {student[:-1]}, one entry per row"
        )


def check_label_shape(logits_shape: Sequence[int], labels_shape: Sequence[int]) -> None:
    """Check class labels `[...]` against logits `[..., C]`; raise a ValueError where they do not fit."""
    if tuple(labels_shape) != tuple(logits_shape)[:-1]:
        raise ValueError(
            f"labels has shape {tuple(labels_shape)}; it must have the logits' leading shape "
            f"{tuple(logits_shape)[:-1]}, one class index per row"
        )


def divergences_in(module: ModuleType) -> list[str]:
    """Names of the divergences that a backend's module defines: its functions whose first argument is the student."""
    return sorted(
        name
        for name, function in vars(module).items()
        if getattr(function, "__module__", None) == module.__name__
        and callable(function)
        and next(iter(signature(function).parameters), None) == "student_logits"
        and not name.startswith("_")
    )


def check_positive(name: str, value: float) -> float:
    """Return `value` as a float, or raise a ValueError if it is not finite or not greater than 0."""
    number = check_number(name, value)
    if number <= 0:
        raise ValueError(f"{name}={value!r} is not allowed; it must be greater than 0")
    return number


# how `sequence_loss` averages
SEQUENCE_REDUCTIONS = ("token_mean", "sequence_mean")


def check_sequence_arguments(divergence: str, divergences: Sequence[str], reduction: str) -> None:
    """Check the names that `sequence_loss` is given; ValueError lists the known ones."""
    if reduction not in SEQUENCE_REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is not known; choose one of {', '.join(SEQUENCE_REDUCTIONS)}")
    if divergence not in divergences:
        raise ValueError(f"divergence={divergence!r} is not known; choose one of {', '.join(divergences)}")
