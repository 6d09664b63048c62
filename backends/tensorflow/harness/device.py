"""The device that this process computes on, and the settings that decide whether results repeat."""

import keras
import numpy as np
import tensorflow as tf

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


def peak_memory_bytes() -> int | None:
    """Peak of the accelerator's memory since it was last asked; None on a CPU."""
    if _device == "CPU:0":
        return None
    peak = tf.config.experimental.get_memory_info(_device)["peak"]
    tf.config.experimental.reset_memory_stats(_device)
    return peak


def current_device() -> str:
    """The device that `set_up` chose, by TensorFlow's name; the CPU before."""
    return _device


def to_device(array: np.ndarray, dtype: str) -> tf.Tensor:
    """An array on the device, converted to a type of `DTYPES`."""
    with tf.device(_device):
        return tf.cast(tf.constant(np.asarray(array)), DTYPES[dtype])


def to_numpy(array: tf.Tensor) -> np.ndarray:
    """A tensor as a float64 array."""
    return tf.cast(array, tf.float64).numpy()
