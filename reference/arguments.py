"""Checks of arguments that the reference's functions share.

Every error names the argument, the value that came in and what is allowed.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

REDUCTIONS = ("mean", "sum", "none")


def check_real(name: str, value: Any) -> float:
    """Return `value` as a float; ValueError unless it is one finite real number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be a finite real number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; it must be a finite real number")
    return number


def check_share(name: str, value: Any) -> float:
    """Return `value` as a float; ValueError unless it is above 0 and below 1."""
    number = check_real(name, value)
    if not 0 < number < 1:
        raise ValueError(f"{name} is {value!r}; it must be a number above 0 and below 1")
    return number


def check_not_negative(name: str, value: Any) -> float:
    """Return `value` as a float; ValueError unless it is finite and at least 0."""
    number = check_real(name, value)
    if number < 0:
        raise ValueError(f"{name} is {value!r}; it must be a finite number, at least 0")
    return number


def check_positive(name: str, value: Any) -> float:
    """Return `value` as a float; ValueError unless it is finite and above 0."""
    number = check_real(name, value)
    if number <= 0:
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")
    return number


def check_temperature(value: Any) -> float:
    """Return the temperature as a float; ValueError unless it is finite and above 0."""
    return check_positive("temperature", value)


def check_reduction(reduction: str) -> str:
    """Return `reduction`; ValueError unless it is one of REDUCTIONS."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it must be one of {', '.join(map(repr, REDUCTIONS))}")
    return reduction


def check_logits(student_logits: ArrayLike, teacher_logits: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return both logits as float64 arrays [..., C]; ValueError unless their shapes agree and C ≥ 1."""
    student = _as_float64("student_logits", student_logits)
    teacher = _as_float64("teacher_logits", teacher_logits)
    if student.ndim == 0 or student.shape[-1] == 0:
        raise ValueError(f"student_logits has shape {student.shape}; it must be [..., C] with at least one class")
    if student.shape != teacher.shape:
        raise ValueError(f"teacher_logits has shape {teacher.shape}; it must be that of student_logits, {student.shape}")
    return student, teacher


def check_mask(mask: ArrayLike | None, rows_shape: tuple[int, ...]) -> NDArray:
    """Return the mask as a bool array of `rows_shape` (all rows where it is None)."""
    if mask is None:
        return np.ones(rows_shape, dtype=bool)
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise ValueError(f"mask has type {array.dtype}; it must be bool, True for the rows to use")
    if array.shape != rows_shape:
        raise ValueError(f"mask has shape {array.shape}; it must be that of the logits without classes, {rows_shape}")
    return array


def check_labels(labels: ArrayLike, rows_shape: tuple[int, ...], classes: int, ignore_index: int) -> NDArray:
    """Return integer labels of `rows_shape`; ValueError unless each is a class or `ignore_index`."""
    array = np.asarray(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels has type {array.dtype}; it must hold integers")
    if array.shape != rows_shape:
        raise ValueError(f"labels has shape {array.shape}; it must be that of the logits without classes, {rows_shape}")
    wrong = (array != ignore_index) & ((array < 0) | (array >= classes))
    if wrong.any():
        raise ValueError(
            f"labels holds {array[wrong].flat[0]}; each label must be 0 to {classes - 1}, or ignore_index ({ignore_index})"
        )
    return array


def _as_float64(name: str, values: ArrayLike) -> NDArray:
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"{name} has type {array.dtype}; it must hold real numbers")
    return array.astype(np.float64)
