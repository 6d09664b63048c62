"""What is particular to TensorFlow: tapes, tf.function, XLA, types."""

import numpy as np
import pytest
import tensorflow as tf

from backends.tensorflow import ABKDLoss, ab_divergence


@pytest.fixture
def logits(backend):
    random = np.random.RandomState(0)
    return tf.constant(random.standard_normal((6, 10))), tf.constant(random.standard_normal((6, 10)))


def value_and_gradient(student, teacher, alpha=0.5, beta=0.25):
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = ab_divergence(student, teacher, alpha, beta)
    return value, tape.gradient(value, student)


@pytest.mark.parametrize("jit", [False, True])
def test_a_compiled_function_gives_the_eager_result(logits, jit):
    expected = value_and_gradient(*logits)
    actual = tf.function(value_and_gradient, jit_compile=jit)(*logits)
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("jit", [False, True])
def test_parameters_are_run_time_values(logits, jit):
    traces = []

    @tf.function(jit_compile=jit)
    def compiled(alpha, beta, temperature):
        traces.append(1)
        return ab_divergence(*logits, alpha, beta, temperature=temperature)

    for alpha, beta in np.random.RandomState(1).uniform(-1, 1, (20, 2)):
        actual = compiled(tf.constant(alpha), tf.constant(beta), tf.constant(1.5))
        np.testing.assert_allclose(actual, ab_divergence(*logits, alpha, beta, temperature=1.5), rtol=1e-12)
    assert len(traces) == 1


def test_numbers_beside_tensors_keep_their_digits(logits):
    mixed = ab_divergence(*logits, tf.constant(0.3, tf.float64), 0.7, temperature=1.1)
    np.testing.assert_allclose(mixed, ab_divergence(*logits, 0.3, 0.7, temperature=1.1), rtol=1e-13)


def test_twenty_parameters_use_one_trace(logits):
    from backends.tensorflow.losses import alpha_beta, execution

    ab_divergence(*logits, 0.3, 0.3)
    kernels = execution.kernel.cache_info().currsize
    for alpha, beta in np.random.RandomState(2).uniform(-1, 1, (20, 2)):
        ab_divergence(*logits, alpha, beta)
    assert execution.kernel.cache_info().currsize == kernels
    kernel = execution.kernel(execution.row_values, alpha_beta.ab_rows, tf.float64, tf.float64, False, 0, 0)
    assert kernel.experimental_get_tracing_count() == 1


def test_the_gradient_of_the_gradient_raises(logits):
    student, teacher = logits
    with tf.GradientTape() as outer:
        outer.watch(student)
        with tf.GradientTape() as inner:
            inner.watch(student)
            value = ab_divergence(student, teacher, 0.5, 0.25)
        gradient = inner.gradient(value, student)
    with pytest.raises(NotImplementedError, match="differentiated once"):
        outer.gradient(gradient, student)


@pytest.mark.parametrize("jit", [False, True])
def test_the_gradient_of_the_gradient_raises_in_a_compiled_function(logits, jit):
    student, teacher = logits

    @tf.function(jit_compile=jit)
    def twice(student):
        with tf.GradientTape() as outer:
            outer.watch(student)
            gradient = value_and_gradient(student, teacher)[1]
        return outer.gradient(gradient, student)

    with pytest.raises(NotImplementedError, match="differentiated once"):
        twice(student)


def test_the_teacher_gets_no_gradient(logits):
    student, teacher = logits
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        value = ab_divergence(student, teacher, 0.5, 0.25)
    assert tape.gradient(value, teacher) is None


def test_a_persistent_tape_serves_several_gradients(logits):
    student, teacher = logits
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(student)
        rows = ab_divergence(student, teacher, 0.5, 0.25, reduction="none")
        total = tf.reduce_sum(rows)
    np.testing.assert_allclose(tape.gradient(total, student), tape.gradient(rows, student), rtol=1e-15)


def test_a_compiled_loss_works_under_a_persistent_tape(logits):
    student, teacher = logits
    compiled = tf.function(lambda s: ab_divergence(s, teacher, 0.5, 0.25))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(student)
        value = compiled(student)
    np.testing.assert_allclose(tape.gradient(value, student), value_and_gradient(student, teacher)[1], rtol=1e-12)


def test_rows_in_chunks_equal_rows_at_once(backend, monkeypatch):
    from backends.tensorflow.losses import execution

    random = np.random.RandomState(3)
    student, teacher = (tf.constant(random.standard_normal((12, 50)), tf.float32) for _ in range(2))
    expected = value_and_gradient(student, teacher)
    monkeypatch.setattr(execution, "CHUNK", 200)
    for jit in (None, False, True):
        function = value_and_gradient if jit is None else tf.function(value_and_gradient, jit_compile=jit)
        actual = function(student, teacher)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-8)


def test_unknown_batch_sizes_are_fine_in_a_compiled_function(logits):
    student, teacher = logits
    signature = [tf.TensorSpec([None, 10], tf.float64)] * 2
    compiled = tf.function(lambda s, t: ab_divergence(s, t, 0.5, 0.25, reduction="none"), input_signature=signature)
    for rows in (1, 4, 6):
        np.testing.assert_allclose(
            compiled(student[:rows], teacher[:rows]),
            ab_divergence(student[:rows], teacher[:rows], 0.5, 0.25, reduction="none"),
            rtol=1e-13,
        )


def test_float64_is_not_cast(logits):
    labels = tf.constant([0, 1, 2, 3, -100, 5])
    assert ab_divergence(*logits, 0.5, 0.25).dtype == tf.float64
    assert ABKDLoss(0.5, 0.25)(*logits, labels).dtype == tf.float64


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_types_give_float32_values_and_gradients_of_their_own_type(logits, dtype):
    value, gradient = value_and_gradient(*(tf.cast(x, dtype) for x in logits))
    assert value.dtype == tf.float32
    assert gradient.dtype == dtype


def test_integer_logits_are_refused(backend):
    with pytest.raises(TypeError, match="student_logits has type int32"):
        ab_divergence(tf.constant([[1, 2]]), tf.constant([[1.0, 2.0]]), 0.5, 0.5)
