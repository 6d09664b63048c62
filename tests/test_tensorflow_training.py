"""Models and loops of a user's own: train_step, tf.data, Keras optimizers, mixed precision, a loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from backends.common import networks
from backends.tensorflow import ABKDLoss, train_student
from backends.tensorflow.models import build_model
from backends.tensorflow.models.weights import export_weights, load_weights
from backends.tensorflow.training.train import predict

random = np.random.RandomState(0)
CENTRES = random.standard_normal((4, 6)).astype(np.float32)
LABELS = random.randint(0, 4, 96)
INPUTS = (CENTRES[LABELS] + 0.3 * random.standard_normal((96, 6))).astype(np.float32)


class Perceptron(keras.Model):
    """A model that is not ours; its `call` does not even take `training`."""

    def __init__(self, width, dtype=None):
        super().__init__(dtype=dtype)
        self.hidden = keras.layers.Dense(width, activation="relu", dtype=dtype)
        self.outputs = keras.layers.Dense(4, dtype=dtype)

    def call(self, inputs):
        return self.outputs(self.hidden(inputs))


class Distiller(keras.Model):
    """The bare loss in a `train_step`."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher, self.loss_function = student, teacher, ABKDLoss(0.8, 0.2)

    def train_step(self, data):
        inputs, labels = data
        with tf.GradientTape() as tape:
            loss = self.loss_function(self.student(inputs, training=True), self.teacher(inputs, training=False), labels)
        gradients = tape.gradient(loss, self.student.trainable_variables)
        self.optimizer.apply(gradients, self.student.trainable_variables)
        return {"distillation": loss}


@pytest.fixture
def teacher(backend):
    keras.utils.set_random_seed(0)
    model = Perceptron(32)
    train_student(None, model, batches(), method="sft", learning_rate=0.1, epochs=10, progress=False)
    return model


def batches():
    return [(INPUTS[i : i + 32], LABELS[i : i + 32]) for i in range(0, 96, 32)]


def accuracy(model):
    return float(np.mean(np.argmax(model(INPUTS).numpy(), -1) == LABELS))


def test_the_loss_works_in_a_train_step(teacher):
    model = Distiller(Perceptron(8), teacher)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    history = model.fit(tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(32), epochs=5, verbose=0).history
    assert history["distillation"][-1] < history["distillation"][0]


@pytest.mark.parametrize("compiled", ["eager", "function", "xla"])
def test_the_loss_works_in_a_hand_written_loop(teacher, compiled):
    student, loss_function, optimizer = Perceptron(8), ABKDLoss(0.8, 0.2), keras.optimizers.Adam(0.01)
    student(INPUTS[:1])
    optimizer.build(student.trainable_variables)

    def step(inputs, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(student(inputs), teacher(inputs), labels)
        optimizer.apply(tape.gradient(loss, student.trainable_variables), student.trainable_variables)
        return loss

    if compiled != "eager":
        step = tf.function(step, jit_compile=compiled == "xla")
    losses = [float(step(inputs, labels)) for _ in range(5) for inputs, labels in batches()]
    assert losses[-1] < losses[0]


def test_train_student_takes_a_dataset_and_a_keras_optimizer(teacher):
    student = Perceptron(8)
    data = tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(36)  # the last batch is smaller
    optimizer = keras.optimizers.Adam(0.02)
    result = train_student(teacher, student, data, alpha=0.8, beta=0.2, optimizer=optimizer, epochs=20, progress=False)
    assert result.student is student and result.status == "ok"
    assert len(result.step_losses) == 60 and int(optimizer.iterations) == 60
    assert accuracy(student) > 0.9


def test_train_student_leaves_the_teacher_alone(teacher):
    before = [v.numpy() for v in teacher.variables]
    train_student(teacher, Perceptron(8), batches(), method="kd", learning_rate=0.1, progress=False)
    for old, variable in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_a_students_own_regularisers_count(backend):
    def trained(penalty):
        keras.utils.set_random_seed(1)
        layer = keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(penalty))
        model = keras.Sequential([layer])
        return train_student(None, model, batches(), method="sft", learning_rate=0.1, progress=False)

    assert trained(1.0).step_losses[0] > trained(0.0).step_losses[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(teacher, policy):
    student = Perceptron(8, dtype=policy)
    result = train_student(
        teacher, student, batches(), alpha=0.8, beta=0.2, optimizer=keras.optimizers.SGD(0.1), epochs=5, progress=False
    )
    assert student.hidden.kernel.dtype == "float32"
    assert result.status == "ok" and result.epoch_losses[-1] < result.epoch_losses[0]


def test_students_that_share_a_compiled_step_do_not_share_state(backend):
    spec = networks.get("convnet-4-6", input_shape=(8, 8, 1), classes=4)
    images = np.random.RandomState(5).standard_normal((24, 8, 8, 1)).astype(np.float32)
    pairs = [(images[:16], LABELS[:16]), (images[16:], LABELS[16:24])]

    def trained(seed):
        model = build_model(spec)
        load_weights(model, networks.initial_weights(spec, seed))
        result = train_student(None, model, pairs, method="sft", learning_rate=0.1, epochs=2, progress=False)
        return result.step_losses, export_weights(model)

    first, other, again = trained(0), trained(1), trained(0)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.allclose(first[0], other[0])
    for name, array in first[1].items():
        np.testing.assert_array_equal(array, again[1][name])


def test_predictions_are_those_of_each_model_itself(backend):
    """Models of one architecture share the compiled call, and so does a model whose weights have changed since."""
    spec = networks.get("resnet8", input_shape=(8, 8, 3), classes=4)
    models = [build_model(spec) for _ in range(2)]
    for seed, model in enumerate(models):
        load_weights(model, networks.initial_weights(spec, seed))
    images = random.standard_normal((7, 8, 8, 3)).astype("float32")
    for model in (*models, models[0]):
        np.testing.assert_allclose(predict(model, images, batch_size=3), model(images, training=False), rtol=1e-5, atol=1e-5)
        model.trainable_variables[-1].assign_add(tf.ones(4))
    small = Perceptron(3)
    # its weights are drawn anew each time: a logit near 0 is a sum of larger terms, which round in absolute size
    np.testing.assert_allclose(predict(small, INPUTS, batch_size=50), small(INPUTS), rtol=1e-6, atol=1e-6)


def test_a_frozen_layer_stays_as_it_was(backend):
    spec = networks.get("convnet-4-6", input_shape=(8, 8, 1), classes=4)
    model = build_model(spec)
    model.get_layer("stages.0.conv").trainable = False
    before = export_weights(model)
    images = np.random.RandomState(5).standard_normal((16, 8, 8, 1)).astype(np.float32)
    train_student(None, model, [(images, LABELS[:16])], method="sft", learning_rate=0.1, progress=False)
    after = export_weights(model)
    np.testing.assert_array_equal(before["stages.0.conv.weight"], after["stages.0.conv.weight"])
    assert not np.array_equal(before["stages.1.conv.weight"], after["stages.1.conv.weight"])


def test_weights_that_do_not_fit_are_named(backend):
    spec = networks.get("convnet-4", input_shape=(8, 8, 1), classes=4)
    weights = networks.initial_weights(spec, 0)
    weights["linear.extra"] = weights.pop("linear.bias")
    with pytest.raises(ValueError, match=r"missing: linear\.bias; not known: linear\.extra"):
        load_weights(build_model(spec), weights)
