"""What the suites call: NumPy in, NumPy out, the same functions in every backend."""

import importlib.metadata
import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax._src import xla_bridge  # the only place that knows whether a device has been started

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from .. import divergences, objectives
from ..models import convolutional, weights
from ..training.train import predict as predict_logits
from ..training.train import train_student

NAME = "jax"
FRAMEWORK_KL = "framework_kl"
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def describe() -> dict[str, str]:
    """Versions, device, threads and the settings that decide results."""
    libraries = ("jaxlib", "flax", "optax")
    device = jax.devices()[0]
    return {
        "framework": "jax",
        "version": jax.__version__,
        **{name: importlib.metadata.version(name) for name in libraries},
        "device": f"{device.platform}: {device.device_kind}",
        "threads": os.environ.get("NPROC", str(os.cpu_count())),
        "deterministic": str(device.platform == "cpu" or DETERMINISTIC in os.environ.get("XLA_FLAGS", "")),
        "tf32": str(jax.config.jax_default_matmul_precision not in ("highest", "float32")),
        "x64": str(jax.config.jax_enable_x64),
        "matmul_precision": str(jax.config.jax_default_matmul_precision),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def set_up(*, threads: int | None = None, device: str = "auto") -> str:
    """Prepare this process, once, before JAX has run anything: float64, threads, device, deterministic algorithms.

    Args:
        threads: of XLA's CPU code; None for all cores.
        device: "auto" (JAX's default), "cpu", "gpu" or "tpu".

    Returns:
        The platform in use.

    Raises:
        ValueError: threads is not positive, or this installation of JAX has no such device.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads!r} is not allowed; pass a positive number or None for all cores")
    if device not in ("auto", "cpu", "gpu", "tpu"):
        raise ValueError(f"device={device!r} is not known; choose one of auto, cpu, gpu, tpu")
    started = xla_bridge.backends_are_initialized()
    wanted = None if threads is None else str(threads)
    if started and wanted is not None and os.environ.get("NPROC") != wanted:
        warnings.warn(f"threads={threads}: JAX has started already and keeps its threads", stacklevel=2)
    elif wanted is not None:
        os.environ["NPROC"] = wanted  # what XLA's CPU client sizes its thread pool by
    if not started:
        if DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32
    if device != "auto":
        try:
            jax.config.update("jax_default_device", jax.devices(device)[0])
        except RuntimeError as error:
            raise ValueError(f"device={device!r} is not available here: {error}; use device='cpu'") from error
        return device
    return jax.devices()[0].platform


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
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Value(s) of a divergence and the gradient of their sum with respect to the student's logits, both float64.

    Args:
        divergence: name of a function in `backends.jax.divergences`.
        student_logits, teacher_logits: `[..., classes]`, cast to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": .8, "beta": .2}.
        temperature, mask, reduction: as in `ab_divergence`.
    """
    function = _divergence(divergence)
    student = jnp.asarray(student_logits, dtype)
    teacher = jnp.asarray(teacher_logits, teacher_dtype or dtype)

    def total(student: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = function(student, teacher, **parameters, temperature=temperature, mask=mask, reduction=reduction)
        return value.sum(), value

    (_, value), gradient = jax.value_and_grad(total, has_aux=True)(student)
    return np.asarray(value, np.float64), np.asarray(gradient, np.float64)


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
    dtype: str = "float32",
) -> tuple[float, np.ndarray]:
    """The ABKD loss and its gradient with respect to the student's logits, float64."""

    def loss(student: jax.Array) -> jax.Array:
        return objectives.abkd_loss(
            student,
            jnp.asarray(teacher_logits, dtype),
            labels,
            alpha,
            beta,
            temperature=temperature,
            distill_weight=distill_weight,
            hard_weight=hard_weight,
            ignore_index=ignore_index,
        )

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(student_logits, dtype))
    return float(value), np.asarray(gradient, np.float64)


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: Mapping[str, Any],
    dtype: str = "float32",
) -> tuple[float, np.ndarray]:
    """An objective and its gradient with respect to the student's logits, float64.

    Args:
        name: of a function in `backends.jax.objectives`, e.g. "dkd_loss".
        student_logits, teacher_logits: `[..., classes]`, cast to `dtype`.
        labels: integers `[...]`, for objectives that take them.
        parameters: the objective's own.
    """
    if name not in objectives.__all__:
        raise ValueError(f"objective={name!r} is not known; choose one of {', '.join(objectives.__all__)}")
    function = getattr(objectives, name)
    labelled = (labels,) if "labels" in inspect.signature(function).parameters else ()
    teacher = jnp.asarray(teacher_logits, dtype)

    def loss(student: jax.Array) -> jax.Array:
        return function(student, teacher, *labelled, **parameters)

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(student_logits, dtype))
    return float(value), np.asarray(gradient, np.float64)


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
        return float(value), np.asarray(gradient, np.float64)

    def synchronize(self) -> None:
        """Wait for everything that was started."""
        jax.block_until_ready((self._inputs, self._result))


def _framework_kl(student: jax.Array, teacher: jax.Array, *, temperature: float = 1.0) -> jax.Array:
    """optax's KL(teacher ‖ student) on jax.nn.log_softmax, mean over rows: the yardstick."""
    student, teacher = (jax.nn.log_softmax(x / temperature) for x in (student, teacher))
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
        function, parameters = _framework_kl, {}
    else:
        function = _divergence(divergence)

    def mean(student: jax.Array, teacher: jax.Array) -> jax.Array:
        return function(student, teacher, **parameters, temperature=temperature)

    return Call(mean, jnp.asarray(student, dtype), jnp.asarray(teacher, dtype))


def prepare_copy(elements: int) -> Callable[[], None]:
    """Return a function that copies a float32 array of that many elements and waits."""
    source = jnp.zeros(elements, jnp.float32)
    copy = jax.jit(jnp.copy)

    def run() -> None:
        jax.block_until_ready(copy(source))

    return run


def build_model(spec: ModelSpec, weights_by_name: Mapping[str, np.ndarray], dtype: str = "float32") -> nnx.Module:
    """Build a model and set its weights (PyTorch names and layouts)."""
    # shapes only: drawing flax's own initial weights would take longer than everything else
    model = nnx.eval_shape(lambda: convolutional.build_model(spec, dtype=jnp.dtype(dtype)))
    weights.load_weights(model, weights_by_name)
    return model


def export_weights(model: nnx.Module) -> dict[str, np.ndarray]:
    """Return the model's weights by PyTorch name, in PyTorch layouts."""
    return weights.export_weights(model)


def _parameter_type(model: nnx.Module) -> np.dtype:
    return np.dtype(jax.tree.leaves(nnx.state(model, nnx.Param))[0].dtype)


def predict(model: nnx.Module, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[n, classes]` in evaluation mode, float64, for images `[n, height, width, channels]`."""
    inputs = np.asarray(inputs, _parameter_type(model))
    return predict_logits(model, inputs, batch_size).astype(np.float64)


def training_logits(model: nnx.Module, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    logits = model(jnp.asarray(inputs, _parameter_type(model)))
    model.eval()
    return np.asarray(logits, np.float64)


def train(
    teacher: nnx.Module | None, student: nnx.Module, batches: Iterable, *, dtype: str = "float32", **arguments: Any
) -> TrainingResult:
    """`train_student` on NumPy batches (images `[n, height, width, channels]`, integer labels), computed in `dtype`."""

    def cast(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(inputs, dtype), np.asarray(labels)

    return train_student(teacher, student, ConvertedBatches(batches, cast), **arguments)


def peak_memory_bytes() -> int | None:
    """Peak memory of the accelerator; None on a CPU, where the process's own peak is the figure."""
    statistics = jax.devices()[0].memory_stats() if jax.devices()[0].platform != "cpu" else None
    return None if statistics is None else statistics.get("peak_bytes_in_use")
