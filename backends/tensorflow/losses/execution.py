"""How divergences run: compiled by XLA once for each formula and types, in chunks of rows where there are many.

A formula is (rows, packed) → (terms, slopes), a function of its module's top level or made once by `row_divergence`:
kernels are kept by it. Values and gradients each have a kernel of their own, since XLA leaves out what a kernel does not
return; parameters and temperature are run-time values.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from .rows import STATISTICS, Rows, compare_rows, compute_type, selected, total

# elements that a kernel works on at a time
CHUNK = 2**18

# (rows, temperature and parameters as a float64 vector) → (terms, slopes), `[N, C]`
RowFunction = Callable[[Rows, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@lru_cache(maxsize=512)
def kernel(
    function: Callable, formula: Callable, student: tf.DType, teacher: tf.DType, masked: bool, rows: int, classes: int
) -> Callable:
    """Compile `row_values`, `row_gradients` or `numbers_of_rows` of a formula for types.

    One trace serves all parameters and, where `rows` is 0, all shapes (XLA specialises on shape by itself). Otherwise
    it goes through chunks of rows, so that what it holds between passes stays in the processor's caches.
    """
    dtype = compute_type(student)
    number = rows or None
    signature = [tf.TensorSpec([number, classes or None], student), tf.TensorSpec([number, classes or None], teacher)]
    if function is row_gradients:
        signature += [tf.TensorSpec([number, STATISTICS], tf.float64), tf.TensorSpec([number], dtype)]
    if masked:
        signature.append(tf.TensorSpec([number], tf.bool))

    def results(chunk: int) -> Any:
        """What a chunk of rows gives."""
        if function is row_gradients:
            return tf.TensorSpec([chunk, classes], student)
        if function is numbers_of_rows:
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


def static_sizes(logits: tf.Tensor) -> tuple[int, int]:
    """(rows, classes) of logits large enough to be worth chunks, (0, 0) of others."""
    rows, classes = logits.shape
    large = rows is not None and classes is not None and rows > 1 and rows * classes > CHUNK
    return (rows, classes) if large else (0, 0)


def row_values(
    formula: RowFunction, packed: tf.Tensor, masked: bool, student: tf.Tensor, teacher: tf.Tensor, *mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's divergence `[N]` and statistics `[N, STATISTICS]` from logits `[N, C]`."""
    dtype, mask = compute_type(student.dtype), mask[0] if masked else None
    student, teacher = selected(student, mask, dtype), selected(teacher, mask, dtype)
    rows, statistics = compare_rows(student, teacher, packed[0], dtype)
    terms, _ = formula(rows, packed)
    terms = tf.where(tf.logical_and(rows.no_teacher, rows.no_student), tf.zeros_like(terms), terms)
    values = tf.cast(total(terms), dtype)[:, 0]
    # a row without a finite logit, or with NaN or +inf, has no partition and no value, whatever the formula made of it
    difference = tf.cast(statistics[4], dtype)[:, 0]
    values = tf.where(tf.math.is_nan(difference), difference, values)
    values = values if mask is None else tf.where(mask, values, tf.zeros_like(values))
    return values, tf.concat(statistics, axis=-1)


def row_gradients(
    formula: RowFunction,
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
    rows, _ = compare_rows(student, teacher, packed[0], dtype, tuple(tf.split(statistics, STATISTICS, axis=-1)))
    _, slopes = formula(rows, packed)
    slopes_total = tf.cast(total(slopes), dtype)
    # over the temperature in two steps, the second of which is 1 unless the temperature is below the type's range
    first = tf.maximum(packed[0], 1e-30)
    gradients = (rows.student_probability * slopes_total - slopes) / tf.cast(first, dtype)
    upstream *= tf.cast(tf.minimum(first / packed[0], dtype.max), dtype)
    # A forbidden class stays so; in a row that is NaN it shows NaN as well.
    forbidden = tf.logical_and(rows.no_student, tf.equal(slopes_total, slopes_total))
    gradients = tf.where(forbidden, tf.zeros_like(gradients), gradients)
    gradients = gradients * upstream[:, None]
    gradients = gradients if mask is None else tf.where(mask[:, None], gradients, tf.zeros_like(gradients))
    return tf.cast(gradients, result_type)


def numbers_of_rows(
    function: Callable, packed: tf.Tensor, masked: bool, student: tf.Tensor, teacher: tf.Tensor, *mask: tf.Tensor
) -> tf.Tensor:
    """One number a row, float64 `[N]`, from logits `[N, C]`."""
    dtype, mask = compute_type(student.dtype), mask[0] if masked else None
    return function(selected(student, mask, dtype), selected(teacher, mask, dtype), packed)
