"""What is particular to losses in TensorFlow: weights and labels in compiled functions, and the loss for Keras' `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from backends.tensorflow import ABKDLoss, KerasABKDLoss, ab_divergence, pack_targets
from backends.tensorflow.objectives import dist_loss, dkd_loss, kd_loss, sequence_loss

LABELS = np.array([0, 3, -100, 9, 3, 1])
WEIGHTS = np.array([0.25, 1.5, 3.0, 0.0, 0.7, 2.0])


@pytest.fixture(scope="module")
def logits(harness_set_up):
    random = np.random.RandomState(0)
    return tuple(tf.constant(random.standard_normal((6, 10)), tf.float32) for _ in range(2))


def value_and_gradient(loss, student):
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(student)
    return value, tape.gradient(value, student)


def abkd(student, teacher, labels, weights, normalizer):
    return value_and_gradient(
        lambda student: ABKDLoss(0.8, 0.2)(student, teacher, labels, weights=weights, normalizer=normalizer), student
    )


@pytest.mark.parametrize("jit", [False, True])
def test_weights_and_normalizer_are_run_time_values(logits, jit):
    traces = []

    @tf.function(jit_compile=jit)
    def compiled(*arguments):
        traces.append(1)
        return abkd(*logits, *arguments)

    for weights, count in ((WEIGHTS, 3), (WEIGHTS[::-1].copy(), 7)):
        arguments = tf.constant(LABELS), tf.constant(weights), tf.constant(count)
        for got, want in zip(compiled(*arguments), abkd(*logits, *arguments), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    assert len(traces) == 1


@pytest.mark.parametrize("jit", [False, True])
def test_rows_whose_label_is_no_class_are_nan_in_a_compiled_function(logits, jit):
    student, teacher = logits
    losses = [
        lambda student, labels: ABKDLoss(0.8, 0.2, reduction="none")(student, teacher, labels),
        lambda student, labels: dkd_loss(student, teacher, labels, reduction="none"),
    ]
    for loss in losses:
        compiled = tf.function(lambda s, y, loss=loss: value_and_gradient(lambda s: loss(s, y), s), jit_compile=jit)
        values, gradient = compiled(student, tf.constant([0, 10, -1, -100, 9, 3]))
        wrong = np.array([False, True, True, False, False, False])
        np.testing.assert_array_equal(np.isnan(values), wrong)
        np.testing.assert_array_equal(np.isnan(gradient).all(-1), wrong)
        assert not np.isnan(gradient.numpy()[~wrong]).any()
    total = tf.function(lambda y: sequence_loss(student, teacher, y), jit_compile=jit)(tf.constant([0, 10, 1, 1, 1, 1]))
    assert np.isnan(total)


def test_a_floating_mask_in_a_compiled_function_is_refused(logits):
    compiled = tf.function(lambda mask: ab_divergence(*logits, 1.0, 0.0, mask=mask), autograph=False)
    with pytest.raises(TypeError, match="mask has type float32.*make it bool.*weights="):
        compiled(tf.ones(6))
    assert compiled(tf.ones(6, tf.bool)) == ab_divergence(*logits, 1.0, 0.0, mask=np.ones(6))


@pytest.mark.parametrize("jit", [False, True])
def test_a_schedule_of_variables_compiles_once(logits, jit):
    alpha, temperature, traces = tf.Variable(0.8), tf.Variable(1.0), []
    loss = ABKDLoss(alpha, 0.2, temperature=temperature)

    @tf.function(jit_compile=jit)
    def compiled(student):
        traces.append(1)
        return loss(student, logits[1], LABELS) + kd_loss(student, logits[1], temperature=temperature)

    for a, t in ((0.8, 1.0), (0.3, 2.0), (0.5, 4.0)):
        alpha.assign(a)
        temperature.assign(t)
        want = ABKDLoss(a, 0.2, temperature=t)(*logits, LABELS) + kd_loss(*logits, temperature=t)
        assert float(compiled(logits[0])) == pytest.approx(float(want), rel=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize(("dtype", "temperature"), [(tf.float32, 1e-40), (tf.float32, 1e-300), (tf.float64, 1e-300)])
@pytest.mark.parametrize("parameters", [(1.0, 0.0), (0.8, 0.2), (0.0, 0.0), (1e7, 0.0), (-1e7, -1e7)])
def test_extremes_are_no_nan(logits, dtype, temperature, parameters):
    student, teacher = (tf.cast(z, dtype) for z in logits)
    teacher = tf.concat([student[:1], teacher[1:]], 0)
    for at in (1.0, temperature):
        results = value_and_gradient(lambda s, at=at: ab_divergence(s, teacher, *parameters, temperature=at), student)
        assert not any(np.isnan(x).any() for x in results)


def test_what_no_type_can_hold_is_refused(logits):
    with pytest.raises(ValueError, match=r"alpha=1e\+300 is not allowed"):
        ab_divergence(*logits, 1e300, 0.0)
    with pytest.raises(ValueError, match="temperature=1e-308 is not allowed"):
        ab_divergence(*logits, 1.0, 0.0, temperature=1e-308)


def test_the_output_of_a_model_is_not_logits(logits):
    with pytest.raises(TypeError, match="student_logits is a dict"):
        dist_loss({"logits": logits[0]}, logits[1])


@pytest.fixture(scope="module")
def data(harness_set_up):
    random = np.random.RandomState(1)
    inputs = random.standard_normal((40, 6)).astype(np.float32)
    labels = random.randint(0, 5, 40)
    labels[::7] = -100
    return inputs, labels, random.standard_normal((40, 5)).astype(np.float32), random.uniform(0, 2, 40)


def student_model(jit=False, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input([6]), keras.layers.Dense(5)])
    loss = KerasABKDLoss(0.8, 0.2, temperature=2.0, distill_weight=3.0, **options)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=jit)
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_keras_fit_takes_the_steps_of_the_loss(data, jit):
    """Each step's update is that of `ABKDLoss` with the sample weights as weights."""
    inputs, labels, teacher, weights = data
    model, loss = student_model(jit), ABKDLoss(0.8, 0.2, temperature=2.0, distill_weight=3.0)
    kernel = model.layers[0].kernel.numpy()
    with tf.GradientTape() as tape:
        value = loss(model(inputs), teacher, labels, weights=weights)
    want = kernel - 0.1 * tape.gradient(value, model.layers[0].kernel.value)
    history = model.fit(inputs, pack_targets(labels, teacher), sample_weight=weights, batch_size=40, epochs=1, verbose=0)
    assert history.history["loss"][0] == pytest.approx(float(value), rel=1e-6)
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), want, rtol=1e-5, atol=1e-7)
    further = model.fit(inputs, pack_targets(labels, teacher), sample_weight=weights, batch_size=10, epochs=5, verbose=0)
    assert further.history["loss"][-1] < further.history["loss"][0] < history.history["loss"][0]


def test_a_saved_model_loads_with_its_loss(data, tmp_path):
    inputs, labels, teacher, weights = data
    model, targets = student_model(reduction="sum", name="distillation"), pack_targets(labels, teacher)
    model.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    assert isinstance(loaded.loss, KerasABKDLoss)
    assert loaded.loss.get_config() == model.loss.get_config()
    for options in ({}, {"sample_weight": weights}):
        want = model.evaluate(inputs, targets, verbose=0, **options)
        assert loaded.evaluate(inputs, targets, verbose=0, **options) == want
    assert KerasABKDLoss.from_config(model.loss.get_config())(targets, model(inputs)) == model.loss(targets, model(inputs))


def test_keras_weights_of_examples_weigh_their_tokens(data):
    """And a mask of Keras leaves rows out, as a weight of 0 does."""
    random = np.random.RandomState(2)
    student, teacher = (tf.constant(random.standard_normal((3, 4, 5)), tf.float32) for _ in range(2))
    labels, weights = random.randint(0, 5, (3, 4)), np.array([1.0, 0.0, 2.5])
    loss, plain, targets = KerasABKDLoss(0.8, 0.2), ABKDLoss(0.8, 0.2), pack_targets(labels, teacher)
    rows = np.repeat(weights[:, None], 4, 1)
    want = plain(student, teacher, labels, weights=rows)
    for given in (weights, weights[:, None], rows):
        assert loss(targets, student, sample_weight=given) == want
    mask = rows > 0
    student._keras_mask = tf.constant(mask)
    assert loss(targets, student) == plain(student, teacher, labels, weights=mask)


def test_float64_and_unpacked_targets(data):
    _, labels, teacher, _ = data
    wide = tf.constant(teacher, tf.float64)
    assert KerasABKDLoss(0.8, 0.2)(pack_targets(labels, wide), 2 * wide).dtype == tf.float64
    with pytest.raises(ValueError, match="y_true has 5 numbers a row.*pack_targets"):
        KerasABKDLoss(0.8, 0.2)(teacher, teacher)
    with pytest.raises(TypeError, match="labels has type float64"):
        pack_targets(labels * 1.0, teacher)
    with pytest.raises(ValueError, match="one label for each row"):
        pack_targets(labels[:3], teacher)
