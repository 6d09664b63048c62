"""Divergences and objectives for the suites: NumPy arrays in and out, and calls that are ready to be timed."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .. import divergences, objectives
from ..objectives import ABKDLoss
from .device import current_device, to_device, to_numpy


def value_and_gradient(
    divergence: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A divergence and the gradient of the sum of its values, both as float64.

    Args:
        divergence: name of a function in `backends.tensorflow.divergences`.
        student_logits, teacher_logits: `[..., C]`, converted to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": 0.5, "beta": 0.5}.
        temperature, mask, weights, reduction: passed on.
        dtype, teacher_dtype: keys of `DTYPES`.
    """
    student, teacher = to_device(student_logits, dtype), to_device(teacher_logits, teacher_dtype or dtype)
    function = getattr(divergences, divergence)
    with tf.device(current_device()), tf.GradientTape() as tape:
        tape.watch(student)
        rows = {"mask": mask, "weights": weights, "reduction": reduction}
        value = function(student, teacher, **parameters, temperature=temperature, **rows)
    return to_numpy(value), to_numpy(tape.gradient(value, student))


def objective_and_gradient(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float,
    beta: float,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    shift: bool = False,
    weights: np.ndarray | None = None,
    normalizer: float | None = None,
    dtype: str = "float32",
) -> tuple[float | np.ndarray, np.ndarray]:
    """`ABKDLoss` and the gradient of its sum with respect to the student's logits, as float64."""
    student = to_device(student_logits, dtype)
    loss = ABKDLoss(
        alpha,
        beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
        ignore_index=ignore_index,
        reduction=reduction,
        shift=shift,
    )
    arguments = to_device(teacher_logits, dtype), np.asarray(labels)
    return _value_and_gradient(lambda student: loss(student, *arguments, weights=weights, normalizer=normalizer), student)


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: dict[str, Any],
    dtype: str = "float32",
) -> tuple[float | np.ndarray, np.ndarray]:
    """An objective of `backends.tensorflow.objectives` and the gradient of its sum with respect to the student's logits.

    Args:
        name: the function's, e.g. "dkd_loss".
        student_logits, teacher_logits: converted to `dtype`.
        labels: integers, for objectives that take them.
        parameters: the objective's own, NumPy arrays (weights, normalizer) among them.
        dtype: a key of `DTYPES`.
    """
    function = getattr(objectives, name)
    student = to_device(student_logits, dtype)
    labelled = (np.asarray(labels),) if "labels" in inspect.signature(function).parameters else ()
    teacher = to_device(teacher_logits, dtype)
    return _value_and_gradient(lambda student: function(student, teacher, *labelled, **parameters), student)


def _value_and_gradient(loss: Callable[[tf.Tensor], tf.Tensor], student: tf.Tensor) -> tuple[float | np.ndarray, np.ndarray]:
    """A loss, a float where it is a scalar, and the gradient of its sum."""
    with tf.device(current_device()), tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(student)
    gradient = tape.gradient(value, student, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return to_numpy(value) if value.shape.rank else float(value), to_numpy(gradient)


def framework_kl(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """TensorFlow's own forward KL divergence on log-softmax, mean over rows: the yardstick of timings."""
    student_logs, teacher_logs = tf.nn.log_softmax(student), tf.nn.log_softmax(teacher)
    return tf.reduce_mean(tf.reduce_sum(tf.exp(teacher_logs) * (teacher_logs - student_logs), axis=-1))


class Call:
    """A divergence on fixed tensors, ready to be timed; every method returns when the device has finished."""

    def __init__(
        self,
        divergence: str,
        student: np.ndarray,
        teacher: np.ndarray,
        parameters: dict[str, float],
        temperature: float,
        dtype: str,
    ) -> None:
        self._student, self._teacher = to_device(student, dtype), to_device(teacher, dtype)
        if divergence == "framework_kl":
            function: Callable[..., tf.Tensor] = framework_kl
        else:
            named = getattr(divergences, divergence)
            constants = {name: tf.constant(value, tf.float64) for name, value in parameters.items()}

            def function(s: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
                return named(s, t, **constants, temperature=temperature)

        def value_and_gradient_of(s: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(s)
                value = function(s, t)
            return value, tape.gradient(value, s)

        self._forward = tf.function(function, jit_compile=True, autograph=False)
        self._both = tf.function(value_and_gradient_of, jit_compile=True, autograph=False)

    def forward(self) -> None:
        """The mean divergence, without gradient."""
        self._value = self._forward(self._student, self._teacher)
        self.synchronize()

    def forward_backward(self) -> None:
        """The mean divergence and its gradient with respect to the student's logits."""
        self._gradient = None  # free the last one first
        self._value, self._gradient = self._both(self._student, self._teacher)
        self.synchronize()

    def result(self) -> tuple[float, np.ndarray]:
        """Value and gradient of the tensors that are timed, as float64."""
        self.forward_backward()
        return float(self._value), to_numpy(self._gradient)

    def synchronize(self) -> None:
        """Wait for the device."""
        self._value.numpy()


def prepare_call(
    divergence: str,
    student: np.ndarray,
    teacher: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    dtype: str = "float32",
) -> Call:
    """Put tensors on the device and return the `Call`; "framework_kl" is the framework's own KL divergence."""
    return Call(divergence, student, teacher, parameters, temperature, dtype)


def prepare_copy(elements: int) -> Callable[[], None]:
    """Return a function that copies `elements` float32 numbers on the device and waits: the bandwidth yardstick."""
    with tf.device(current_device()):
        source = tf.ones([elements])

    def copy() -> None:
        tf.raw_ops.DeepCopy(x=source)  # an assignment or an identity would share the memory
        tf.test.experimental.sync_devices()

    return copy
