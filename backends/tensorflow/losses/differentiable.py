"""What every divergence of two sets of logits shares: arguments, statistics of a row, masks, reductions, the gradient.

A divergence is one function, a *formula*, from the log-probabilities of rows (`Rows`) and its parameters to

    terms   [N, C], whose sum over classes is a row's value,
    shares  [N, C], h_k − (h_j/q_j) q_k with h = −∂D/∂(log q) and j the student's top class,

from which the logit gradient (q Σ shares − shares) / T follows. It is the gradient of h itself, because (q Σh − h) does
not change under h → h − c·q; with this c it does not cancel for a confident student. Values and gradients each have a
compiled kernel of their own (XLA, which leaves out what a kernel does not return), parameters and temperature are
run-time values, and automatic differentiation never sees a formula.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from ...common.arguments import check_number, check_reduction, check_shapes, check_temperature
from .divided_differences import exponential
from .rows import STATISTICS, Rows, compute_type, rows_of_logits, selected, total

# elements that a kernel works on at a time
CHUNK = 2**18

# (rows, parameters as a float64 vector) → (terms, shares)
Formula = Callable[[Rows, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def check_arguments(
    student_logits: Any, teacher_logits: Any, mask: Any, reduction: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Student's and teacher's logits and the mask as tensors that fit.

    Raises:
        ValueError: shapes that differ, an unknown reduction.
        TypeError: logits that are not floating point.
    """
    check_reduction(reduction)
    student, teacher = _as_logits("student_logits", student_logits), _as_logits("teacher_logits", teacher_logits)
    if mask is not None:
        mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    if student.shape.is_fully_defined() and teacher.shape.is_fully_defined():
        check_shapes(student.shape, teacher.shape, None if mask is None else mask.shape)
    elif student.shape.rank == 0 or not student.shape.is_compatible_with(teacher.shape):
        check_shapes(student.shape, teacher.shape)
    return student, teacher, mask


def _as_logits(name: str, value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype not in (tf.float64, tf.float32, tf.bfloat16, tf.float16):
        raise TypeError(f"{name} has type {tensor.dtype.name}; float64, float32, bfloat16 and float16 are allowed")
    return tensor


def is_dynamic(value: Any) -> bool:
    """Whether a parameter is a tensor, whose value is known at run time only."""
    return tf.is_tensor(value) or isinstance(value, tf.Variable)


def checked_scalar(name: str, value: Any, check: Callable[[str, Any], float] = check_number) -> Any:
    """A parameter as a checked float, or as a float64 tensor without a check; it is never differentiated."""
    if is_dynamic(value):
        return tf.stop_gradient(tf.cast(tf.convert_to_tensor(value), tf.float64))
    return check(name, value)


def as_float64(value: Any) -> tf.Tensor:
    """A scalar that `checked_scalar` has passed as a float64 tensor; `tf.cast` alone takes a float through float32."""
    return tf.cast(value, tf.float64) if is_dynamic(value) else tf.constant(value, tf.float64)


def checked_temperature(temperature: Any) -> Any:
    """`checked_scalar` of a temperature."""
    return checked_scalar("temperature", temperature, lambda _, value: check_temperature(value))


def pack(temperature: Any, *parameters: Any) -> tf.Tensor:
    """Temperature and checked parameters as the float64 vector that kernels take."""
    scalars = [checked_temperature(temperature), *parameters]
    return tf.stack([as_float64(x) for x in scalars]) if any(map(is_dynamic, scalars)) else tf.constant(scalars, tf.float64)


def evaluate(
    formula: Formula, student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor, mask: tf.Tensor | None, reduction: str
) -> tf.Tensor:
    """A divergence of tensors that `check_arguments` has passed, with the gradient of the student's logits attached.

    Args:
        formula: a module's function (kernels are kept by it).
        student, teacher: `[..., C]`.
        packed: float64 vector, the temperature followed by the formula's parameters.
        mask: bool `[...]`, or None.
        reduction: as in `reduced`.
    """
    rows = _differentiable_rows(formula, *_flat(student, teacher, mask), packed)
    return reduced(_unflat(rows, student), mask, reduction)


def row_divergence(**checks: Callable[[str, Any], float]) -> Callable:
    """Make a function (rows, *parameters) → (terms, shares) the divergence of logits that carries its name.

    The divergence takes (student_logits, teacher_logits, *parameters, temperature, mask, reduction); a parameter's
    default is the function's, its value arrives there as a float64 scalar.

    Args:
        checks: by parameter, what checks a number; any finite one is allowed for the others.
    """

    def decorate(function: Callable[..., tuple[tf.Tensor, tf.Tensor]]) -> Callable[..., tf.Tensor]:
        own = list(inspect.signature(function).parameters.values())[1:]
        common = list(inspect.signature(_common_arguments).parameters.values())
        signature = inspect.Signature([*common[:2], *own, *common[2:]], return_annotation=tf.Tensor)

        def formula(rows: Rows, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return function(rows, *(parameters[place] for place in range(len(own))))

        def divergence(*positional: Any, **named: Any) -> tf.Tensor:
            bound = signature.bind(*positional, **named)
            bound.apply_defaults()
            given = bound.arguments
            student, teacher, mask = check_arguments(
                given["student_logits"], given["teacher_logits"], given["mask"], given["reduction"]
            )
            scalars = (checked_scalar(p.name, given[p.name], checks.get(p.name, check_number)) for p in own)
            return evaluate(formula, student, teacher, pack(given["temperature"], *scalars), mask, given["reduction"])

        divergence.__name__ = divergence.__qualname__ = formula.__name__ = function.__name__
        divergence.__module__, divergence.__doc__ = function.__module__, function.__doc__
        divergence.__signature__ = signature
        return divergence

    return decorate


def _common_arguments(
    student_logits: Any, teacher_logits: Any, *, temperature: Any = 1.0, mask: Any = None, reduction: str = "mean"
) -> None:
    """What all divergences take."""


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
    types = (student.dtype, teacher.dtype, mask is not None, *_static_sizes(flat_student))
    rest = () if mask is None else (flat_mask,)
    numbers = _kernel(_numbers, function, *types)(tf.stop_gradient(packed), flat_student, flat_teacher, *rest)
    return _unflat(tf.stop_gradient(numbers), student)


def reduced(rows: tf.Tensor, mask: tf.Tensor | None, reduction: str) -> tf.Tensor:
    """Row values `[...]` (0 where the mask leaves out) as they are ("none"), their "sum", or "mean" of the selected."""
    if reduction == "none":
        return rows
    if reduction == "sum":
        return tf.reduce_sum(rows)
    count = tf.size(rows) if mask is None else tf.math.count_nonzero(mask, dtype=tf.int32)
    return tf.reduce_sum(rows) / tf.cast(tf.maximum(count, 1), rows.dtype)


def _flat(student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Logits `[N, C]` and mask `[N]`."""
    classes = tf.shape(student)[-1] if student.shape[-1] is None else student.shape[-1]
    student, teacher = tf.reshape(student, [-1, classes]), tf.reshape(teacher, [-1, classes])
    return student, teacher, None if mask is None else tf.reshape(mask, [-1])


def _unflat(rows: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """A number for each row `[N]`, in the logits' leading shape."""
    return tf.ensure_shape(tf.reshape(rows, tf.shape(student)[:-1]), student.shape[:-1])


def _differentiable_rows(
    formula: Formula, student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor | None, packed: tf.Tensor
) -> tf.Tensor:
    """Value of each row `[N]`, with the gradient of the student's logits attached."""
    teacher, packed = tf.stop_gradient(teacher), tf.stop_gradient(packed)
    rest = () if mask is None else (mask,)
    types = (student.dtype, teacher.dtype, mask is not None, *_static_sizes(student))

    @tf.custom_gradient
    def rows_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # a tape sees the inside of custom_gradient too, and would make the kernel keep everything for a backward pass
        held = tf.stop_gradient(logits)
        values, statistics = _kernel(_values, formula, *types)(packed, held, teacher, *rest)

        def backward(upstream: tf.Tensor) -> tf.Tensor:
            @tf.custom_gradient
            def gradient_of(logits: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, Callable]:
                weights = tf.stop_gradient(upstream)
                result = _kernel(_gradients, formula, *types)(packed, held, teacher, statistics, weights, *rest)
                return result, _refuse_second_derivative

            return gradient_of(logits, upstream)

        return values, backward

    return rows_of(student)


def _refuse_second_derivative(*_: tf.Tensor) -> None:
    raise NotImplementedError(
        "a divergence can be differentiated once: its gradient has no gradient of its own. Leave the inner "
        "GradientTape's result out of what the outer one differentiates (tf.stop_gradient)."
    )


@lru_cache(maxsize=512)
def _kernel(
    function: Callable, formula: Callable, student: tf.DType, teacher: tf.DType, masked: bool, rows: int, classes: int
) -> Callable:
    """Compile `_values`, `_gradients` or `_numbers` of a formula for types.

    One trace serves all parameters and, where `rows` is 0, all shapes (XLA specialises on shape by itself). Otherwise
    it goes through chunks of rows, so that what it holds between passes stays in the processor's caches.
    """
    dtype = compute_type(student)
    number = rows or None
    signature = [tf.TensorSpec([number, classes or None], student), tf.TensorSpec([number, classes or None], teacher)]
    if function is _gradients:
        signature += [tf.TensorSpec([number, STATISTICS], tf.float64), tf.TensorSpec([number], dtype)]
    if masked:
        signature.append(tf.TensorSpec([number], tf.bool))

    def results(chunk: int) -> Any:
        """What a chunk of rows gives."""
        if function is _gradients:
            return tf.TensorSpec([chunk, classes], student)
        if function is _numbers:
            return tf.TensorSpec([chunk], tf.float64)
        return tf.TensorSpec([chunk], dtype), tf.TensorSpec([chunk, STATISTICS], tf.float64)

    def in_chunks(packed: tf.Tensor, *row_wise: tf.Tensor) -> Any:
        if not rows:
            return function(formula, packed, masked, *row_wise)
        chunk = max(size for size in range(1, max(1, CHUNK // classes) + 1) if rows % size == 0)
        result = tf.map_fn(
            lambda piece: function(formula, packed, masked, *piece),
            tuple(tf.reshape(x, [rows // chunk, chunk, *x.shape[1:]]) for x in row_wise),
            fn_output_signature=results(chunk),
        )
        return tf.nest.map_structure(lambda x: tf.reshape(x, [rows, *x.shape[2:]]), result)

    signature = [tf.TensorSpec([None], tf.float64), *signature]
    return tf.function(in_chunks, input_signature=signature, jit_compile=True, autograph=False)


def _static_sizes(logits: tf.Tensor) -> tuple[int, int]:
    """(rows, classes) of logits large enough to be worth chunks, (0, 0) of others."""
    rows, classes = logits.shape
    large = rows is not None and classes is not None and rows > 1 and rows * classes > CHUNK
    return (rows, classes) if large else (0, 0)


def _values(
    formula: Formula, packed: tf.Tensor, masked: bool, student: tf.Tensor, teacher: tf.Tensor, *mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's divergence `[N]` and statistics `[N, STATISTICS]` from logits `[N, C]`."""
    dtype, mask = compute_type(student.dtype), mask[0] if masked else None
    student, teacher = selected(student, mask, dtype), selected(teacher, mask, dtype)
    rows, statistics = rows_of_logits(student, teacher, packed[0], dtype)
    terms, _ = formula(rows, packed[1:])
    terms = tf.where(tf.logical_and(rows.no_teacher, rows.no_student), tf.zeros_like(terms), terms)
    values = tf.cast(total(terms), dtype)[:, 0]
    # a row without a finite logit, or with NaN or +inf, has no partition and no value, whatever the formula made of it
    difference = tf.cast(statistics[4], dtype)[:, 0]
    values = tf.where(tf.math.is_nan(difference), difference, values)
    values = values if mask is None else tf.where(mask, values, tf.zeros_like(values))
    return values, tf.concat(statistics, axis=-1)


def _gradients(
    formula: Formula,
    packed: tf.Tensor,
    masked: bool,
    student: tf.Tensor,
    teacher: tf.Tensor,
    statistics: tf.Tensor,
    upstream: tf.Tensor,
    *mask: tf.Tensor,
) -> tf.Tensor:
    """Gradient of Σ upstream·row value with respect to the student's logits, `[N, C]` in the student's type."""
    result_type, dtype, mask = student.dtype, compute_type(student.dtype), mask[0] if masked else None
    student, teacher = selected(student, mask, dtype), selected(teacher, mask, dtype)
    rows, _ = rows_of_logits(student, teacher, packed[0], dtype, tuple(tf.split(statistics, STATISTICS, axis=-1)))
    _, shares = formula(rows, packed[1:])
    q = exponential(rows.student_logs, dtype)
    shares_total = tf.cast(total(shares), dtype)
    gradients = (q * shares_total - shares) / tf.cast(packed[0], dtype)
    # A forbidden class stays so; in a row that is NaN it shows NaN as well.
    forbidden = tf.logical_and(rows.no_student, tf.equal(shares_total, shares_total))
    gradients = tf.where(forbidden, tf.zeros_like(gradients), gradients)
    gradients = gradients * upstream[:, None]
    gradients = gradients if mask is None else tf.where(mask[:, None], gradients, tf.zeros_like(gradients))
    return tf.cast(gradients, result_type)


def _numbers(
    function: Callable, packed: tf.Tensor, masked: bool, student: tf.Tensor, teacher: tf.Tensor, *mask: tf.Tensor
) -> tf.Tensor:
    """One number a row, float64 `[N]`, from logits `[N, C]`."""
    dtype, mask = compute_type(student.dtype), mask[0] if masked else None
    return function(selected(student, mask, dtype), selected(teacher, mask, dtype), packed)
