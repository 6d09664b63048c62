"""What the suites call: NumPy arrays in and out, the same functions in every backend."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from .. import divergences, objectives
from ..models import convolutional, weights
from ..objectives import ABKDLoss
from ..training.train import predict as predict_logits
from ..training.train import train_student

NAME = "tensorflow"
DTYPES = {"float64": tf.float64, "float32": tf.float32, "bfloat16": tf.bfloat16, "float16": tf.float16}
_device, _deterministic = "CPU:0", False


def set_up(*, threads: int | None = None, device: str = "auto") -> str:
    """Make results repeatable and choose the device, once per process and before anything is computed.

    Args:
        threads: of the CPU; None leaves TensorFlow's choice.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        ValueError: an unknown device, or a GPU that is not there.
        RuntimeError: TensorFlow is already running with another number of threads.
    """
    global _device, _deterministic
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is not known; choose one of auto, cpu, cuda")
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if device == "cuda" and not has_gpu:
        raise ValueError("device='cuda': TensorFlow sees no GPU here; choose 'cpu' or 'auto'")
    if threads is not None and threads != tf.config.threading.get_intra_op_parallelism_threads():
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    _deterministic = True
    keras.utils.set_random_seed(0)  # TensorFlow demands a seed where operations must be deterministic
    _device = "GPU:0" if device != "cpu" and has_gpu else "CPU:0"
    return "cuda" if _device == "GPU:0" else "cpu"


def describe() -> dict[str, str]:
    """Framework, version, device, threads and the flags that decide whether results repeat."""
    name = "cpu"
    if _device != "CPU:0":
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        name = details.get("device_name", "gpu")
    return {
        "framework": "tensorflow",
        "version": tf.__version__,
        "keras": keras.__version__,
        "device": name,
        "threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
        "deterministic": str(_deterministic),
        "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
    }


def _tensor(array: np.ndarray, dtype: str) -> tf.Tensor:
    with tf.device(_device):
        return tf.cast(tf.constant(np.asarray(array)), DTYPES[dtype])


def _to_numpy(tensor: tf.Tensor) -> np.ndarray:
    return tf.cast(tensor, tf.float64).numpy()


def value_and_gradient(
    divergence: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A divergence and the gradient of the sum of its values, both as float64.

    Args:
        divergence: name of a function in `backends.tensorflow.divergences`.
        student_logits, teacher_logits: `[..., C]`, converted to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": 0.5, "beta": 0.5}.
        temperature, mask, reduction: passed on.
        dtype, teacher_dtype: keys of `DTYPES`.
    """
    student, teacher = _tensor(student_logits, dtype), _tensor(teacher_logits, teacher_dtype or dtype)
    function = getattr(divergences, divergence)
    with tf.device(_device), tf.GradientTape() as tape:
        tape.watch(student)
        value = function(student, teacher, **parameters, temperature=temperature, mask=mask, reduction=reduction)
    return _to_numpy(value), _to_numpy(tape.gradient(value, student))


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
    """`ABKDLoss` and its gradient with respect to the student's logits, as float64."""
    student = _tensor(student_logits, dtype)
    loss = ABKDLoss(
        alpha, beta, temperature=temperature, distill_weight=distill_weight, hard_weight=hard_weight, ignore_index=ignore_index
    )
    with tf.device(_device), tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(student, _tensor(teacher_logits, dtype), np.asarray(labels))
    gradient = tape.gradient(value, student, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(value), _to_numpy(gradient)


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: dict[str, Any],
    dtype: str = "float32",
) -> tuple[float, np.ndarray]:
    """An objective of `backends.tensorflow.objectives` and its gradient with respect to the student's logits.

    Args:
        name: the function's, e.g. "dkd_loss".
        student_logits, teacher_logits: converted to `dtype`.
        labels: integers, for objectives that take them.
        parameters: the objective's own.
        dtype: a key of `DTYPES`.
    """
    function = getattr(objectives, name)
    student = _tensor(student_logits, dtype)
    labelled = (np.asarray(labels),) if "labels" in inspect.signature(function).parameters else ()
    with tf.device(_device), tf.GradientTape() as tape:
        tape.watch(student)
        value = function(student, _tensor(teacher_logits, dtype), *labelled, **parameters)
    return float(value), _to_numpy(tape.gradient(value, student))


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
        self._student, self._teacher = _tensor(student, dtype), _tensor(teacher, dtype)
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
        return float(self._value), _to_numpy(self._gradient)

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
    with tf.device(_device):
        source = tf.ones([elements])

    def copy() -> None:
        tf.raw_ops.DeepCopy(x=source)  # an assignment or an identity would share the memory
        tf.test.experimental.sync_devices()

    return copy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> keras.Model:
    """Build a network on the device with the given weights."""
    with tf.device(_device):
        model = convolutional.build_model(spec, dtype=dtype)
        weights.load_weights(model, arrays)
    return model


export_weights = weights.export_weights


def predict(model: keras.Model, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` of NHWC images in evaluation mode, as float64."""
    images = np.asarray(inputs, keras.backend.standardize_dtype(model.input.dtype))
    with tf.device(_device):
        return _to_numpy(predict_logits(model, images, batch_size))


def training_logits(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    images = np.asarray(inputs, keras.backend.standardize_dtype(model.input.dtype))
    with tf.device(_device):
        return _to_numpy(model(images, training=True))


def train(
    teacher: keras.Model | None,
    student: keras.Model,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    dtype: str = "float32",
    **arguments: Any,
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels); `arguments` are passed on."""
    image_type = keras.backend.standardize_dtype(student.input.dtype)

    def typed(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(inputs, image_type), np.asarray(labels, np.int32)

    with tf.device(_device):
        return train_student(teacher, student, ConvertedBatches(batches, typed), **arguments)


def peak_memory_bytes() -> int | None:
    """Peak of the accelerator's memory since it was last asked; None on a CPU."""
    if _device == "CPU:0":
        return None
    peak = tf.config.experimental.get_memory_info(_device)["peak"]
    tf.config.experimental.reset_memory_stats(_device)
    return peak
