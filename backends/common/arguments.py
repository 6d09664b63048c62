"""Checks of arguments that the three backends and the reference state alike."""

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

REDUCTIONS = ("mean", "sum", "none")
# how `sequence_loss` averages
SEQUENCE_REDUCTIONS = ("token_mean", "sequence_mean", "sum")
# label of rows that no term of a training loss counts
IGNORED_LABEL = -100
# bytes of an element, by the types that logits may have
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def check_number(name: str, value: float) -> float:
    """Return `value` as a finite float, or raise a ValueError that names it."""
    try:
        number = float(value)
    except OverflowError as error:
        largest = f"{sys.float_info.max:.2g}"
        raise ValueError(f"{name} is too large for a float; any real number up to ±{largest} is allowed") from error
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


def check_positive(name: str, value: float) -> float:
    """Return `value` as a float, or raise a ValueError if it is not finite or not greater than 0."""
    number = check_number(name, value)
    if number <= 0:
        raise ValueError(f"{name}={value!r} is not allowed; it must be greater than 0")
    return number


def check_temperature(temperature: float) -> float:
    """Return `temperature` as a positive finite float, or raise a ValueError that names it."""
    number = check_number("temperature", temperature)
    if number <= 0:
        raise ValueError(
            f"temperature={temperature!r} is not allowed; it must be greater than 0 (1.0 leaves logits as they are)"
        )
    return number


def check_squared_temperature(
    temperature: float, smallest: float = sys.float_info.min, largest: float = sys.float_info.max
) -> float:
    """Return a temperature whose square is a factor of the loss as a float, or raise a ValueError that names it.

    Args:
        temperature: T > 0.
        smallest, largest: between which T² must lie, the normal numbers of the type to compute in.
    """
    number = check_temperature(temperature)
    if not smallest <= number * number <= largest:
        low, high = math.sqrt(smallest), math.sqrt(largest)
        raise ValueError(
            f"temperature={temperature!r} is not allowed; its square is a factor of the loss, so it must lie between "
            f"{low:.1e} and {high:.1e}"
        )
    return number


def check_reduction(reduction: str, reductions: Sequence[str] = REDUCTIONS) -> str:
    """Return `reduction`, or raise a ValueError that lists the known ones."""
    if reduction not in reductions:
        raise ValueError(f"reduction={reduction!r} is not known; choose one of {', '.join(reductions)}")
    return reduction


def check_normalizer(shape: Sequence[int], value: float | None, reduction: str) -> None:
    """Check what a sum over rows is divided by; raise a ValueError where it cannot be that.

    Args:
        shape: of the normalizer, `()` for a number.
        value: of the normalizer; None where it cannot be looked at.
        reduction: of the loss; "none" has no sum.
    """
    if reduction == "none":
        raise ValueError('normalizer divides a sum, and reduction="none" has none; leave one of the two out')
    if math.prod(shape) != 1:
        raise ValueError(f"normalizer has shape {tuple(shape)}; it must be one number, such as the rows of a whole batch")
    if value is not None:
        check_positive("normalizer", value)


def check_whole_batch(reduction: str, normalizer: Any) -> None:
    """Check the reduction of a loss whose terms span the batch: the mean alone; raise a ValueError otherwise."""
    if reduction != "mean" or normalizer is not None:
        raise ValueError(
            f"reduction={reduction!r} and normalizer={normalizer!r} are not allowed here, reduction='mean' alone is: "
            "columns correlate over the whole batch, so that values of rows or of parts of it do not add up to the loss"
        )


def check_shapes(
    student_shape: Sequence[int],
    teacher_shape: Sequence[int],
    mask_shape: Sequence[int] | None = None,
    weights_shape: Sequence[int] | None = None,
) -> None:
    """Check logits `[..., C]` against each other and against mask and weights `[...]`.

    Raises:
        ValueError: the shapes differ, there is no class axis, no class, or mask or weights lack the leading shape.
    """
    student, teacher = tuple(student_shape), tuple(teacher_shape)
    if student != teacher:
        raise ValueError(
            f"student_logits has shape {student} and teacher_logits {teacher}; both must have the same shape [..., classes]"
        )
    if not student or student[-1] == 0:
        raise ValueError(f"student_logits has shape {student}; the last axis must hold at least one class")
    for name, shape in (("mask", mask_shape), ("weights", weights_shape)):
        if shape is not None:
            _check_row_shape(name, "entry", student, tuple(shape))


def check_label_shape(logits_shape: Sequence[int], labels_shape: Sequence[int]) -> None:
    """Check class labels `[...]` against logits `[..., C]`; raise a ValueError where they do not fit."""
    _check_row_shape("labels", "class index", tuple(logits_shape), tuple(labels_shape))


def _check_row_shape(name: str, what: str, logits: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if shape == logits[:-1]:
        return
    sentence = f"{name} has shape {shape}; it must have the logits' leading shape {logits[:-1]}, one {what} per row"
    if len(logits) > 2 and shape == logits[:1] + logits[2:]:
        sentence += (
            f". Classes must be the last axis of the logits, whose shape is {logits}; move them there with movedim(1, -1) "
            "(JAX: jnp.moveaxis, TensorFlow: tf.transpose)"
        )
    raise ValueError(sentence)


def check_label_type(dtype: str, integer: bool) -> None:
    """Check the type of labels, named `dtype`; raise a TypeError unless it is one of integers."""
    if not integer:
        raise TypeError(f"labels has type {dtype}; class indices must be integers")


def check_label_values(labels: np.ndarray, classes: int, ignore_index: int) -> None:
    """Check labels that can be looked at; raise a ValueError that names one that is no class and not ignored."""
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignore_index)]
    if wrong.size:
        raise ValueError(f"labels holds {int(wrong[0])}; allowed are 0 to {classes - 1} and ignore_index={ignore_index}")


def check_weights(dtype: str, values: np.ndarray | None) -> None:
    """Check the weights of rows.

    Args:
        dtype: name of their type; any but complex ones and text.
        values: the weights; None where they cannot be looked at.

    Raises:
        TypeError: a type that has no order.
        ValueError: a weight is negative or not finite.
    """
    if not _is_real(dtype):
        raise TypeError(f"weights has type {dtype}; weights are real numbers, finite and at least 0, one for each row")
    if values is not None:
        wrong = values[~((values >= 0) & np.isfinite(values))]
        if wrong.size:
            raise ValueError(f"weights holds {wrong[0]}; each weight must be finite and at least 0 (0 leaves the row out)")


def check_mask(dtype: str, values: np.ndarray | None) -> None:
    """Check a mask, whose floating values must be 0 or 1; of integers all but 0 select.

    Args:
        dtype: name of the mask's type.
        values: of a floating mask; None where they cannot be looked at.

    Raises:
        TypeError: a floating mask that is not one of zeros and ones, or cannot be looked at; a type that has no order.
    """
    if not _is_real(dtype):
        raise TypeError(f"mask has type {dtype}; a mask is True or False, one for each row")
    if "float" not in dtype:
        return
    if values is None:
        raise TypeError(
            f"mask has type {dtype} and its values are not known here, while the code is compiled or traced; make it bool "
            "(mask.astype(bool), in PyTorch mask.bool()), or pass weights="
        )
    wrong = values[~((values == 0) | (values == 1))]
    if wrong.size:
        raise TypeError(f"mask holds {wrong[0]}; a mask is True or False (or 0 and 1): for a weight of each row pass weights=")


def _is_real(dtype: str) -> bool:
    return any(kind in dtype for kind in ("float", "int", "bool"))


def check_no_output(name: str, logits: Any) -> None:
    """Raise a TypeError if what came as logits is what a model returns around them: an output object, dict or tuple."""
    kind = type(logits).__name__
    if hasattr(logits, "logits"):
        raise TypeError(f"{name} is a {kind}; pass its .logits")
    if isinstance(logits, Mapping):
        raise TypeError(f'{name} is a {kind}; pass the array of logits that it holds, such as ["logits"]')
    if isinstance(logits, tuple) and any(getattr(part, "shape", ()) for part in logits):
        raise TypeError(f"{name} is a {kind} of {len(logits)}; pass the array of logits that it holds, such as [0]")


def warn_of_swapped(student_learns: bool, teacher_learns: bool, through: str | None = None) -> None:
    """Warn, once a line of the caller's, where gradients reach the teacher's logits and not the student's.

    Args:
        student_learns, teacher_learns: whether a gradient reaches each.
        through: folder of a framework whose own calls lie between the caller's line and this.
    """
    if student_learns or not teacher_learns:
        return
    package, frame, level = str(Path(__file__).parents[1]), sys._getframe(), 1
    between = (package, through or package)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(between):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        "student_logits comes first: the first argument has no gradient and teacher_logits, a constant here, has one; "
        "swap them",
        UserWarning,
        stacklevel=level,
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


def check_sequence_arguments(divergence: str, divergences: Sequence[str], reduction: str) -> None:
    """Check the names that `sequence_loss` is given; ValueError lists the known ones."""
    check_reduction(reduction, SEQUENCE_REDUCTIONS)
    if divergence not in divergences:
        raise ValueError(f"divergence={divergence!r} is not known; choose one of {', '.join(divergences)}")
