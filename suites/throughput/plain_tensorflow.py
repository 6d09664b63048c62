"""Distillation as a user of TensorFlow writes it: Keras layers and optimizer, one tf.function on preloaded tensors."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from backends.common.networks.convolutional import ConvolutionalSpec
from suites.throughput.plain import Images, Plain
from suites.throughput.problems import LEARNING_RATE, Problem


def _conv(x: keras.KerasTensor, width: int, size: int, stride: int) -> keras.KerasTensor:
    return keras.layers.Conv2D(width, size, stride, "same", use_bias=False)(x)


def _norm(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _block(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    out = keras.layers.ReLU()(_norm(_conv(x, width, 3, stride)))
    out = _norm(_conv(out, width, 3, 1))
    if stride != 1 or x.shape[-1] != width:
        x = _norm(_conv(x, width, 1, stride))
    return keras.layers.ReLU()(keras.layers.add([out, x]))


def resnet(spec: ConvolutionalSpec) -> keras.Model:
    """Residual network for images of 32×32."""
    inputs = keras.Input(spec.input_shape)
    x = keras.layers.ReLU()(_norm(_conv(inputs, spec.widths[0], 3, 1)))
    for stage, width in enumerate(spec.widths[1:]):
        for number in range(spec.blocks):
            x = _block(x, width, 2 if stage and not number else 1)
    return keras.Model(inputs, keras.layers.Dense(spec.classes)(keras.layers.GlobalAveragePooling2D()(x)))


def distillation_loss(
    student: tf.Tensor, teacher: tf.Tensor, labels: tf.Tensor, method: str, objective: dict[str, float]
) -> tf.Tensor:
    """The training loss, from probabilities where it is ABKD's."""
    temperature = objective["temperature"]
    hard = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, student))
    p = tf.nn.softmax(teacher / temperature)
    if method == "kd":
        log_p, log_q = tf.nn.log_softmax(teacher / temperature), tf.nn.log_softmax(student / temperature)
        soft = tf.reduce_mean(tf.reduce_sum(p * (log_p - log_q), 1)) * temperature**2
    else:
        a, b = objective["alpha"], objective["beta"]
        q = tf.nn.softmax(student / temperature)
        terms = p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)
        soft = -tf.reduce_mean(tf.reduce_sum(terms, 1)) / (a * b)
    return objective["hard_weight"] * hard + objective["distill_weight"] * soft


def prepare(problem: Problem, images: Images) -> Plain:
    """Build the loop."""
    teacher, student = (resnet(spec) for spec in problem.networks)
    method, objective, recipe = problem.method, problem.objective, problem.recipe
    optimizer = keras.optimizers.SGD(
        LEARNING_RATE, momentum=recipe.training["momentum"], weight_decay=recipe.training["weight_decay"]
    )
    optimizer.build(student.trainable_variables)
    batches = [(tf.constant(x), tf.constant(y)) for x, y in images.batches]

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        teacher_logits = teacher(x, training=False)
        with tf.GradientTape() as tape:
            loss = distillation_loss(student(x, training=True), teacher_logits, y, method, objective)
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    def loss(*arrays: np.ndarray) -> float:
        return float(distillation_loss(*(tf.constant(array) for array in arrays), method, objective))

    return Plain({"plain": _run(step, batches)}, loss, (_count(teacher), _count(student)))


def _run(step: Callable, batches: list) -> Callable[[], None]:
    def run() -> None:
        for x, y in batches:
            loss = step(x, y)
        loss.numpy()

    return run


def _count(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
