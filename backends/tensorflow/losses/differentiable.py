"""The way from a user's logits to a divergence: checks, masks, reductions, and the rule of differentiation.

Of a formula's terms and slopes, `[N, C]`, a row's value is the sum of the terms, and the logit gradient
(q Σ slopes − slopes) / T. Automatic differentiation never sees a formula.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ...common.arguments import check_no_output, check_reduction, check_shapes
from .counting import Counting, check_counting, reduced
from .execution import RowFunction, kernel, numbers_of_rows, row_gradients, row_values, static_sizes


def check_arguments(
    student_logits: Any, teacher_logits: Any, mask: Any, reduction: str, weights: Any = None, normalizer: Any = None
) -> tuple[tf.Tensor, tf.Tensor, Counting]:
    """Student's and teacher's logits as tensors that fit, and which rows count for how much.

    Raises:
        ValueError: shapes that differ, an unknown reduction, weights or a normalizer that is not allowed.
        TypeError: logits that are not floating point, or a model's output around them; a mask that is none.
    """
    check_reduction(reduction)
    student, teacher = _as_logits("student_logits", student_logits), _as_logits("teacher_logits", teacher_logits)
    if student.shape.is_fully_defined() and teacher.shape.is_fully_defined():
        check_shapes(student.shape, teacher.shape, _known_shape(mask), _known_shape(weights))
    elif student.shape.rank == 0 or not student.shape.is_compatible_with(teacher.shape):
        check_shapes(student.shape, teacher.shape)
    return student, teacher, check_counting(mask, weights, reduction, normalizer, student.shape[:-1])


def _known_shape(value: Any) -> tf.TensorShape | None:
    """The shape of a mask or of weights, None where there are none or it is known at run time only."""
    shape = None if value is None else tf.convert_to_tensor(value).shape
    return shape if shape is not None and shape.is_fully_defined() else None


def _as_logits(name: str, value: Any) -> tf.Tensor:
    check_no_output(name, value)
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype not in (tf.float64, tf.float32, tf.bfloat16, tf.float16):
        raise TypeError(f"{name} has type {tensor.dtype.name}; float64, float32, bfloat16 and float16 are allowed")
    return tensor


def evaluate(
    row_function: RowFunction, student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor, counting: Counting
) -> tf.Tensor:
    """A divergence of arguments that are checked already.

    Args:
        row_function: see `backends.tensorflow.losses.execution`.
        student, teacher, counting: as `check_arguments` returns them.
        packed: of `backends.tensorflow.losses.operands`: the temperature, and then what the row function takes.
    """
    rows = _differentiable_rows(row_function, *_flat(student, teacher, counting.mask), packed)
    return reduced(_unflat(rows, student), counting)


def row_numbers(
    function: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    student: tf.Tensor,
    teacher: tf.Tensor,
    packed: tf.Tensor,
    mask: tf.Tensor | None,
) -> tf.Tensor:
    """One number a row, float64 `[...]`, that is constant for every tape.

    Args:
        function: (student, teacher, packed) → `[N]`, from float64 logits `[N, C]`, zeros in rows that do not count.
        student, teacher, packed, mask: as in `evaluate`.
    """
    flat_student, flat_teacher, flat_mask = (None if x is None else tf.stop_gradient(x) for x in _flat(student, teacher, mask))
    types = (student.dtype, teacher.dtype, mask is not None, *static_sizes(flat_student))
    rest = () if mask is None else (flat_mask,)
    numbers = kernel(numbers_of_rows, function, *types)(tf.stop_gradient(packed), flat_student, flat_teacher, *rest)
    return _unflat(tf.stop_gradient(numbers), student)


def _flat(student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Logits `[N, C]` and mask `[N]`."""
    classes = tf.shape(student)[-1] if student.shape[-1] is None else student.shape[-1]
    student, teacher = tf.reshape(student, [-1, classes]), tf.reshape(teacher, [-1, classes])
    return student, teacher, None if mask is None else tf.reshape(mask, [-1])


def _unflat(rows: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """A number for each row `[N]`, in the logits' leading shape."""
    return tf.ensure_shape(tf.reshape(rows, tf.shape(student)[:-1]), student.shape[:-1])


def _differentiable_rows(
    row_function: RowFunction, student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor | None, packed: tf.Tensor
) -> tf.Tensor:
    """Value of each row `[N]`, with the gradient of the student's logits attached."""
    teacher, packed = tf.stop_gradient(teacher), tf.stop_gradient(packed)
    rest = () if mask is None else (mask,)
    types = (student.dtype, teacher.dtype, mask is not None, *static_sizes(student))

    @tf.custom_gradient
    def rows_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # a tape sees the inside of custom_gradient too, and would make the kernel keep everything for a backward pass
        held = tf.stop_gradient(logits)
        values, statistics = kernel(row_values, row_function, *types)(packed, held, teacher, *rest)

        def backward(upstream: tf.Tensor) -> tf.Tensor:
            @tf.custom_gradient
            def gradient_of(logits: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, Callable]:
                weights = tf.stop_gradient(upstream)
                result = kernel(row_gradients, row_function, *types)(packed, held, teacher, statistics, weights, *rest)
                return result, _refuse_second_derivative

            return gradient_of(logits, upstream)

        return values, backward

    return rows_of(student)


def _refuse_second_derivative(*_: tf.Tensor) -> None:
    raise NotImplementedError(
        "a divergence can be differentiated once: its gradient has no gradient of its own. Leave the inner "
        "GradientTape's result out of what the outer one differentiates (tf.stop_gradient)."
    )
