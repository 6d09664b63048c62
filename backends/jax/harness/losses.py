"""Divergences and objectives for the suites: NumPy arrays in and out, and calls that are ready to be timed."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import divergences, objectives
from .device import to_device, to_numpy

FRAMEWORK_KL = "framework_kl"


def _divergence(name: str) -> Callable:
    if name not in divergences.__all__:
        raise ValueError(f"divergence={name!r} is not known; choose one of {', '.join(divergences.__all__)}")
    return getattr(divergences, name)


def value_and_gradient(
    divergence: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    parameters: Mapping[str, float],
    *,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Value(s) of a divergence and the gradient of their sum with respect to the student's logits, both float64.

    Args:
        divergence: name of a function in `backends.jax.divergences`.
        student_logits, teacher_logits: `[..., classes]`, cast to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": .8, "beta": .2}.
        temperature, mask, weights, reduction: as in `ab_divergence`.
    """
    function = _divergence(divergence)
    student = to_device(student_logits, dtype)
    teacher = to_device(teacher_logits, teacher_dtype or dtype)

    def total(student: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = {"mask": mask, "weights": weights, "reduction": reduction}
        value = function(student, teacher, **parameters, temperature=temperature, **rows)
        return value.sum(), value

    (_, value), gradient = jax.value_and_grad(total, has_aux=True)(student)
    return to_numpy(value), to_numpy(gradient)


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
    """The ABKD loss and the gradient of its sum with respect to the student's logits, float64."""

    def loss(student: jax.Array) -> jax.Array:
        return objectives.abkd_loss(
            student,
            to_device(teacher_logits, dtype),
            labels,
            alpha,
            beta,
            temperature=temperature,
            distill_weight=distill_weight,
            hard_weight=hard_weight,
            ignore_index=ignore_index,
            reduction=reduction,
            shift=shift,
            weights=weights,
            normalizer=normalizer,
        )

    return _value_and_gradient(loss, to_device(student_logits, dtype))


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: Mapping[str, Any],
    dtype: str = "float32",
) -> tuple[float | np.ndarray, np.ndarray]:
    """An objective and the gradient of its sum with respect to the student's logits, float64.

    Args:
        name: of a function in `backends.jax.objectives`, e.g. "dkd_loss".
        student_logits, teacher_logits: `[..., classes]`, cast to `dtype`.
        labels: integers `[...]`, for objectives that take them.
        parameters: the objective's own, NumPy arrays (weights, normalizer) among them.
    """
    if name not in objectives.__all__:
        raise ValueError(f"objective={name!r} is not known; choose one of {', '.join(objectives.__all__)}")
    function = getattr(objectives, name)
    labelled = (labels,) if "labels" in inspect.signature(function).parameters else ()
    teacher = to_device(teacher_logits, dtype)

    def loss(student: jax.Array) -> jax.Array:
        return function(student, teacher, *labelled, **parameters)

    return _value_and_gradient(loss, to_device(student_logits, dtype))


def _value_and_gradient(loss: Callable[[jax.Array], jax.Array], student: jax.Array) -> tuple[float | np.ndarray, np.ndarray]:
    """A loss, a float where it is a scalar, and the gradient of its sum."""

    def total(student: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = loss(student)
        return value.sum(), value

    (_, value), gradient = jax.value_and_grad(total, has_aux=True)(student)
    return to_numpy(value) if value.ndim else float(value), to_numpy(gradient)


class Call:
    """A divergence and its inputs, ready to be timed: compiled with jax.jit, reduction "mean", each call waited for."""

    def __init__(self, function: Callable[[jax.Array, jax.Array], jax.Array], student: jax.Array, teacher: jax.Array):
        self._inputs = (student, teacher)
        self._forward = jax.jit(function)
        self._both = jax.jit(jax.value_and_grad(function))
        self._result: tuple[jax.Array, jax.Array] | None = None

    def forward(self) -> None:
        """Compute the value."""
        jax.block_until_ready(self._forward(*self._inputs))

    def forward_backward(self) -> None:
        """Compute the value and the gradient; the previous result is let go first."""
        self._result = None
        self._result = jax.block_until_ready(self._both(*self._inputs))

    def result(self) -> tuple[float, np.ndarray]:
        """Value and gradient (float64) of the last `forward_backward`, which runs now if it has not yet."""
        if self._result is None:
            self.forward_backward()
        value, gradient = self._result
        return float(value), to_numpy(gradient)

    def synchronize(self) -> None:
        """Wait for everything that was started."""
        jax.block_until_ready((self._inputs, self._result))


def framework_kl(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """optax's KL(teacher ‖ student) on jax.nn.log_softmax, mean over rows: the yardstick of timings."""
    student, teacher = (jax.nn.log_softmax(logits) for logits in (student, teacher))
    return optax.losses.kl_divergence_with_log_targets(student, teacher).mean()


def prepare_call(
    divergence: str,
    student: np.ndarray,
    teacher: np.ndarray,
    parameters: Mapping[str, float],
    *,
    temperature: float = 1.0,
    dtype: str = "float32",
) -> Call:
    """Place inputs on the device and return the call; divergence "framework_kl" is optax's own KL divergence."""
    if divergence == FRAMEWORK_KL:
        function = framework_kl
    else:
        function = partial(_divergence(divergence), **parameters, temperature=temperature)
    return Call(function, to_device(student, dtype), to_device(teacher, dtype))


def prepare_copy(elements: int) -> Callable[[], None]:
    """Return a function that copies a float32 array of that many elements and waits."""
    source = jnp.zeros(elements, jnp.float32)
    copy = jax.jit(jnp.copy)

    def run() -> None:
        jax.block_until_ready(copy(source))

    return run
