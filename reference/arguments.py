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
    except OverflowError:
        raise ValueError(f"{name} is too large for a float; it must be a finite real number") from None
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
    """Return the mask as a bool array of `rows_shape` (all rows where it is None).

    Raises:
        ValueError: another shape.
        TypeError: a floating mask that is not one of zeros and ones; of integers all but 0 select.
    """
    if mask is None:
        return np.ones(rows_shape, dtype=bool)
    array = np.asarray(mask)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"mask has type {array.dtype}; it must be bool, True for the rows to use")
    if array.shape != rows_shape:
        raise ValueError(f"mask has shape {array.shape}; it must be that of the logits without classes, {rows_shape}")
    wrong = array[(array != 0) & (array != 1)] if array.dtype.kind == "f" else np.array([])
    if wrong.size:
        raise TypeError(f"mask holds {wrong[0]}; a mask is True or False (or 0 and 1): for a weight of each row pass weights=")
    return array != 0


def row_weights(rows_shape: tuple[int, ...], mask: ArrayLike | None, weights: ArrayLike | None) -> NDArray:
    """Return what each row counts, float64 of `rows_shape`: its weight, 1 without weights, 0 where the mask leaves it out.

    Raises:
        ValueError: a shape that does not fit, a weight that is negative or not finite.
        TypeError: weights that are not real numbers; see `check_mask`.
    """
    selected = check_mask(mask, rows_shape)
    if weights is None:
        return selected.astype(np.float64)
    array = np.asarray(weights)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"weights has type {array.dtype}; it must hold real numbers, finite and at least 0")
    if array.shape != rows_shape:
        raise ValueError(f"weights has shape {array.shape}; it must be that of the logits without classes, {rows_shape}")
    wrong = array[~((array >= 0) & np.isfinite(array))]
    if wrong.size:
        raise ValueError(f"weights holds {wrong[0]}; each weight must be finite and at least 0")
    return np.where(selected, array.astype(np.float64), 0.0)


def divisor(weights: NDArray, reduction: str, normalizer: Any) -> float:
    """Return what Σ weight · value is divided by: the normalizer if there is one, else Σ weight for "mean" (1 if 0).

    Raises:
        ValueError: a normalizer that is not one finite number above 0, or one where reduction "none" has no sum.
    """
    if normalizer is not None:
        if reduction == "none":
            raise ValueError('normalizer divides a sum, and reduction "none" has none; leave one of the two out')
        return check_positive("normalizer", normalizer)
    return float(weights.sum()) or 1.0 if reduction == "mean" else 1.0


def shift_left(labels: ArrayLike, weights: ArrayLike | None, ignore_index: int) -> tuple[NDArray, NDArray | None]:
    """Labels and weights [..., tokens] one place to the left, as input ids are the labels of the logits before them.

    The last place, whose logits predict what is not there, is ignored and weighs 0.
    """
    moved = [None if x is None else np.roll(np.asarray(x), -1, axis=-1) for x in (labels, weights)]
    for array, filling in zip(moved, (ignore_index, 0), strict=True):
        if array is not None:
            array[..., -1:] = filling
    return moved[0], moved[1]


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
