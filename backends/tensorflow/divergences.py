"""The α-β-divergence between a teacher and a student, from logits.

    D_AB(p‖q) = Σ δ² · exp[γt, αs+βt, γs],   s = log p (teacher), t = log q (student), δ = s − t, γ = α + β,

with exp[…] a divided difference. It equals Definition 4.1 of the ABKD paper (Wang et al., ICML 2025) with all its
limits: nothing is singular on α = 0, β = 0 or α+β = 0. The value and the gradient each have a compiled kernel of their
own (XLA), in which α, β and the temperature are run-time values; automatic differentiation never sees the formula.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from backends.arguments import check_number, check_reduction, check_shapes, check_temperature
from backends.coefficients import SERIES, Coefficients, coefficients
from backends.tensorflow.divided_differences import expm1, exponential, first_order, second_order

#: stands for an infinite distance between log-probabilities; far beyond where exp underflows, far from overflowing
FAR = 1e30
LONGEST_SERIES = max(terms for _, terms in SERIES.values())
#: elements that a kernel works on at a time
CHUNK = 2**18
#: below it E_T − E_S is computed as E_S·expm1(w), above as a difference
NEAR = 0.3


def ab_divergence(
    student_logits: Any,
    teacher_logits: Any,
    alpha: Any,
    beta: Any,
    *,
    temperature: Any = 1.0,
    mask: Any = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """The α-β-divergence D_AB(teacher ‖ student) of softmax(logits / temperature).

    Differentiable once with respect to `student_logits`; the teacher is a constant. Works eagerly, inside `tf.function`
    with and without `jit_compile`, and under mixed precision.

    Args:
        student_logits: `[..., C]`, float64, float32, bfloat16 or float16; log-probabilities are logits too. −inf
            forbids a class.
        teacher_logits: the same shape; it may be of another type.
        alpha: any finite real number, or a scalar tensor. A tensor's value is not checked.
        beta: the same.
        temperature: > 0, a number or a scalar tensor. No factor temperature² is applied.
        mask: bool `[...]`, True for the rows (tokens) that count; None: all. What other rows hold does not matter.
        reduction: "mean" over the selected rows (0 where none is), "sum", or "none" (0 in rows that do not count).

    Returns:
        A scalar, or `[...]` for "none"; float64 if the student's logits are, else float32.

    Raises:
        ValueError: shapes that differ, a parameter that is not finite, temperature ≤ 0, an unknown reduction.
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
    packed = pack_parameters(alpha, beta, temperature)
    return packed_ab_divergence(student, teacher, packed, mask, reduction)


def packed_ab_divergence(
    student: tf.Tensor, teacher: tf.Tensor, packed: tf.Tensor, mask: tf.Tensor | None, reduction: str
) -> tf.Tensor:
    """`ab_divergence` of tensors that fit, with the parameters of `pack_parameters`."""
    leading = tf.shape(student)[:-1]
    classes = tf.shape(student)[-1] if student.shape[-1] is None else student.shape[-1]
    rows = _differentiable_rows(
        tf.reshape(student, [-1, classes]),
        tf.reshape(teacher, [-1, classes]),
        None if mask is None else tf.reshape(mask, [-1]),
        packed,
    )
    if reduction == "none":
        return tf.ensure_shape(tf.reshape(rows, leading), student.shape[:-1])
    if reduction == "sum":
        return tf.reduce_sum(rows)
    count = tf.size(rows) if mask is None else tf.math.count_nonzero(mask, dtype=tf.int32)
    return tf.reduce_sum(rows) / tf.cast(tf.maximum(count, 1), rows.dtype)


def compute_type(student_type: tf.DType) -> tf.DType:
    """Type in which everything is computed and values are returned."""
    return tf.float64 if student_type == tf.float64 else tf.float32


def pack_parameters(alpha: Any, beta: Any, temperature: Any) -> tf.Tensor:
    """All that the kernels need to know of (α, β, temperature), as one float64 vector.

    Numbers are checked and worked out by NumPy once; tensors are worked out in the graph. The vector has as many terms
    of the series as float64 needs, for any computing type.
    """
    if any(tf.is_tensor(value) or isinstance(value, tf.Variable) for value in (alpha, beta, temperature)):
        scalars = []
        for name, value in (("alpha", alpha), ("beta", beta), ("temperature", temperature)):
            if not (tf.is_tensor(value) or isinstance(value, tf.Variable)):
                value = check_temperature(value) if name == "temperature" else check_number(name, value)
            # not differentiated: the divergence's derivative with respect to its parameters is not offered
            scalars.append(tf.stop_gradient(tf.cast(tf.convert_to_tensor(value), tf.float64)))
        alpha, beta, temperature = scalars
        return tf.stack([temperature, *_flatten(coefficients(alpha, beta, LONGEST_SERIES, xp=tf))])
    numbers = check_number("alpha", alpha), check_number("beta", beta), check_temperature(temperature)
    return tf.constant(_packed_numbers(*numbers))


@lru_cache(maxsize=1024)
def _packed_numbers(alpha: float, beta: float, temperature: float) -> np.ndarray:
    return np.array([temperature, *_flatten(coefficients(alpha, beta, LONGEST_SERIES))], np.float64)


def _flatten(scalars: Coefficients) -> list[Any]:
    """A Coefficients' numbers in a fixed order."""
    return [v for field in scalars for v in (field if isinstance(field, tuple) else (field,))]


def _unpack(packed: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, Coefficients, Coefficients]:
    """The temperature in float64, and the coefficients as scalars of the computing type and in float64."""
    template = coefficients(1.0, 1.0, LONGEST_SERIES)
    temperature, *flat = tf.unstack(packed, num=1 + len(_flatten(template)))
    terms = SERIES[dtype.name][1] - 1  # c_2 … c_K

    def rebuild(values: Iterator[tf.Tensor]) -> Coefficients:
        fields = (tuple(next(values) for _ in f) if isinstance(f, tuple) else next(values) for f in template)
        built = Coefficients(*fields)
        return built._replace(
            series_positive=built.series_positive[:terms], series_negative=built.series_negative[:terms]
        )

    return temperature, rebuild(tf.cast(v, dtype) for v in flat), rebuild(iter(flat))


def _as_logits(name: str, value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype not in (tf.float64, tf.float32, tf.bfloat16, tf.float16):
        raise TypeError(f"{name} has type {tensor.dtype.name}; float64, float32, bfloat16 and float16 are allowed")
    return tensor


def _differentiable_rows(
    student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor | None, packed: tf.Tensor
) -> tf.Tensor:
    """Value of each row `[N]`, with the gradient of the student's logits attached."""
    teacher, packed = tf.stop_gradient(teacher), tf.stop_gradient(packed)
    rest = () if mask is None else (mask,)
    types = (student.dtype, teacher.dtype, mask is not None, *_static_sizes(student))

    @tf.custom_gradient
    def rows_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # a tape sees the inside of custom_gradient too, and would make the kernel keep everything for a backward pass
        held = tf.stop_gradient(logits)
        values, statistics = _kernel(_values, *types)(packed, held, teacher, *rest)

        def backward(upstream: tf.Tensor) -> tf.Tensor:
            @tf.custom_gradient
            def gradient_of(logits: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, Callable]:
                weights = tf.stop_gradient(upstream)
                result = _kernel(_gradients, *types)(packed, held, teacher, statistics, weights, *rest)
                return result, _refuse_second_derivative

            return gradient_of(logits, upstream)

        return values, backward

    return rows_of(student)


def _refuse_second_derivative(*_: tf.Tensor) -> None:
    raise NotImplementedError(
        "ab_divergence can be differentiated once: its gradient has no gradient of its own. Leave the inner "
        "GradientTape's result out of what the outer one differentiates (tf.stop_gradient)."
    )


@lru_cache(maxsize=256)
def _kernel(
    function: Callable, student: tf.DType, teacher: tf.DType, masked: bool, rows: int, classes: int
) -> Callable:
    """Compile `_values` or `_gradients` for types.

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

    def in_chunks(packed: tf.Tensor, *row_wise: tf.Tensor) -> Any:
        if not rows:
            return function(packed, masked, *row_wise)
        chunk = max(size for size in range(1, max(1, CHUNK // classes) + 1) if rows % size == 0)
        result = tf.map_fn(
            lambda piece: function(packed, masked, *piece),
            tuple(tf.reshape(x, [rows // chunk, chunk, *x.shape[1:]]) for x in row_wise),
            fn_output_signature=tf.TensorSpec([chunk, classes], student)
            if function is _gradients
            else (tf.TensorSpec([chunk], dtype), tf.TensorSpec([chunk, STATISTICS], tf.float64)),
        )
        return tf.nest.map_structure(lambda x: tf.reshape(x, [rows, *x.shape[2:]]), result)

    signature = [tf.TensorSpec([None], tf.float64), *signature]
    return tf.function(in_chunks, input_signature=signature, jit_compile=True, autograph=False)


def _static_sizes(logits: tf.Tensor) -> tuple[int, int]:
    """(rows, classes) of logits large enough to be worth chunks, (0, 0) of others."""
    rows, classes = logits.shape
    large = rows is not None and classes is not None and rows > 1 and rows * classes > CHUNK
    return (rows, classes) if large else (0, 0)


#: per row: both maxima, both log-partitions, the difference of log-partitions, the top class's shifted difference
STATISTICS = 6


def _selected(logits: tf.Tensor, mask: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
    """Logits in float64 (rounded to the computing type first); zeros in rows that do not count, so nothing spreads."""
    logits = tf.cast(tf.cast(logits, dtype), tf.float64)
    return logits if mask is None else tf.where(mask[:, None], logits, tf.zeros_like(logits))


def _total(terms: tf.Tensor) -> tf.Tensor:
    """Sum over classes, in float64: XLA adds one after the other, 50,257 times in float32 would lose digits."""
    return tf.reduce_sum(tf.cast(terms, tf.float64), axis=-1, keepdims=True)


def _shifted(logits: tf.Tensor, maxima: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """(z − m) / T, with −FAR for −inf."""
    shifted = (logits - maxima) / temperature
    return tf.where(shifted < -FAR, tf.constant(-FAR, shifted.dtype), shifted)


def _two_difference(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """x − y rounded, and what the rounding took away (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (x - (high - back)) - (y + back)


def _shifted_difference(
    student: tf.Tensor, teacher: tf.Tensor, student_max: tf.Tensor, teacher_max: tf.Tensor, temperature: tf.Tensor
) -> tf.Tensor:
    """w0 = [(z_T − z_S) − (m_T − m_S)] / T: differences first, with what rounding took from each of them.

    ±FAR where one side is −inf, 0 where both are.
    """
    logits, lost = _two_difference(teacher, student)
    maxima, lost_maxima = _two_difference(teacher_max, student_max)
    exact = ((logits - maxima) + (lost - lost_maxima)) / temperature
    plain = _shifted(teacher, teacher_max, temperature) - _shifted(student, student_max, temperature)
    return tf.where(tf.abs(exact) < FAR, exact, plain)  # not where something overflowed, is −inf or NaN


def _row_statistics(
    student: tf.Tensor, teacher: tf.Tensor, temperature: tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Shifted differences `[N, C]` and the row's `STATISTICS` numbers, each `[N, 1]`, all in float64."""
    student_max = tf.reduce_max(student, axis=-1, keepdims=True)
    teacher_max = tf.reduce_max(teacher, axis=-1, keepdims=True)
    width = _shifted_difference(student, teacher, student_max, teacher_max, temperature)
    student_exp = exponential(_shifted(student, student_max, temperature), dtype)
    teacher_exp = exponential(_shifted(teacher, teacher_max, temperature), dtype)
    narrow = tf.cast(width, dtype)
    near = tf.abs(narrow) < NEAR
    narrow = tf.where(near, narrow, tf.zeros_like(narrow))
    change = tf.where(near, student_exp * expm1(narrow, tf.exp(narrow)), teacher_exp - student_exp)
    student_total, teacher_total, change_total = _total(student_exp), _total(teacher_exp), _total(change)
    # The larger partition in front keeps the argument of log1p away from −1.
    partition_difference = tf.where(
        change_total < 0,
        -tf.math.log1p(-change_total / teacher_total),
        tf.math.log1p(change_total / student_total),
    )
    # Among the student's top classes (ties), the one that the teacher likes best.
    at_top = tf.reduce_max(tf.where(tf.equal(student, student_max), teacher, -np.inf), axis=-1, keepdims=True)
    return width, (
        student_max,
        teacher_max,
        tf.math.log(student_total),
        tf.math.log(teacher_total),
        partition_difference,
        _shifted(at_top, teacher_max, temperature),
    )


def _values(
    packed: tf.Tensor, masked: bool, student: tf.Tensor, teacher: tf.Tensor, *mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's divergence `[N]` and statistics `[N, STATISTICS]` from logits `[N, C]`."""
    dtype, mask = compute_type(student.dtype), mask[0] if masked else None
    student, teacher = _selected(student, mask, dtype), _selected(teacher, mask, dtype)
    temperature, scalars, wide = _unpack(packed, dtype)
    width, statistics = _row_statistics(student, teacher, temperature, dtype)
    student_max, teacher_max, student_partition, teacher_partition, partition_difference, _ = statistics
    terms = second_order(
        _shifted(teacher, teacher_max, temperature) - teacher_partition,
        _shifted(student, student_max, temperature) - student_partition,
        width - partition_difference,
        scalars,
        wide,
    )
    no_teacher, no_student = tf.math.equal(teacher, -np.inf), tf.math.equal(student, -np.inf)
    finite_gamma = scalars.gamma > 0
    infinite = tf.logical_or(
        tf.logical_and(no_teacher, tf.logical_not(tf.logical_and(finite_gamma, scalars.alpha > 0))),
        tf.logical_and(no_student, tf.logical_not(tf.logical_and(finite_gamma, scalars.beta > 0))),
    )
    terms = tf.where(infinite, tf.constant(np.inf, dtype), terms)
    terms = tf.where(tf.logical_and(no_teacher, no_student), tf.zeros_like(terms), terms)
    values = tf.cast(_total(terms), dtype)[:, 0]
    values = values if mask is None else tf.where(mask, values, tf.zeros_like(values))
    return values, tf.concat(statistics, axis=-1)


def _gradients(
    packed: tf.Tensor,
    masked: bool,
    student: tf.Tensor,
    teacher: tf.Tensor,
    statistics: tf.Tensor,
    upstream: tf.Tensor,
    *mask: tf.Tensor,
) -> tf.Tensor:
    """Gradient of Σ upstream·row value with respect to the student's logits, `[N, C]` in the student's type.

    The logit gradient (q Σh − h) / T does not change under h → h − c·q. With c = h_j/q_j at the student's top class j
    it does not cancel for a confident student. For γ = 1 that difference has the exact product form
    q (e^(αδ) − e^(αδ_j)) / α, which is again δ times a first divided difference, of other arguments.
    """
    result_type, dtype, mask = student.dtype, compute_type(student.dtype), mask[0] if masked else None
    student, teacher = _selected(student, mask, dtype), _selected(teacher, mask, dtype)
    temperature, scalars, wide = _unpack(packed, dtype)
    alpha, beta, gamma = wide.alpha, wide.beta, wide.gamma
    columns = tf.split(statistics, STATISTICS, axis=-1)
    student_max, teacher_max, student_partition, teacher_partition, partition_difference, top_width = columns
    width = _shifted_difference(student, teacher, student_max, teacher_max, temperature)
    student_logs = _shifted(student, student_max, temperature) - student_partition
    teacher_logs = _shifted(teacher, teacher_max, temperature) - teacher_partition
    size_alpha, zero = tf.abs(scalars.alpha), tf.zeros([], tf.float64)
    cap = tf.constant(dtype.max / 8, dtype) / tf.cast(tf.shape(student)[-1], dtype)

    def capped(values: tf.Tensor) -> tf.Tensor:
        """Keep a row's sum finite where single terms overflow."""
        return tf.where(values > cap, cap, tf.where(values < -cap, -cap, values))

    # h_j / q_j at the student's top class
    top_student, top_teacher = -student_partition, top_width - teacher_partition
    top_difference = top_width - partition_difference
    top_forbidden = tf.logical_and(top_width <= -FAR, alpha <= 0)  # h_j is infinite and left out
    ratio = capped(
        first_order(
            (gamma - 1) * top_student, alpha * top_teacher + (beta - 1) * top_student, top_difference, size_alpha
        )
    )
    ratio = tf.where(top_forbidden, tf.zeros_like(ratio), ratio)
    # γ as a float64 sum: .7 + .2 + .1 may miss 1 by a rounding error, which the product form does not notice
    exact = tf.abs(gamma - 1) <= (5e-16 if dtype == tf.float64 else 1e-9)
    product = tf.logical_and(exact, tf.logical_not(top_forbidden))

    q = exponential(student_logs, dtype)
    shares = first_order(
        gamma * student_logs + tf.where(product, alpha * top_difference, zero),
        alpha * teacher_logs + beta * student_logs,
        width - tf.where(product, top_width, partition_difference),
        size_alpha,
    )
    shares = capped(shares) - tf.where(product, tf.zeros_like(ratio), ratio) * q
    no_teacher, no_student = tf.math.equal(teacher, -np.inf), tf.math.equal(student, -np.inf)
    finite_without_student = tf.logical_or(
        tf.logical_and(beta > 0, gamma >= 0), tf.logical_and(tf.equal(beta, 0), alpha > 0)
    )
    left_out = tf.logical_or(
        tf.logical_and(no_teacher, alpha <= 0), tf.logical_and(no_student, tf.logical_not(finite_without_student))
    )
    left_out = tf.logical_or(left_out, tf.logical_and(no_teacher, no_student))
    shares = tf.where(left_out, -ratio * q, shares)
    total = tf.cast(_total(shares), dtype)
    gradients = (q * total - shares) / tf.cast(temperature, dtype)
    # A forbidden class stays so; in a row that is NaN it shows NaN as well.
    gradients = tf.where(tf.logical_and(no_student, tf.equal(total, total)), tf.zeros_like(gradients), gradients)
    gradients = gradients * upstream[:, None]
    gradients = gradients if mask is None else tf.where(mask[:, None], gradients, tf.zeros_like(gradients))
    return tf.cast(gradients, result_type)
