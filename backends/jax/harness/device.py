"""The device that this process computes on, and the settings that decide whether results repeat."""

import importlib.metadata
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np

NAME = "jax"
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def describe() -> dict[str, str]:
    """Versions, device, threads and the settings that decide results."""
    libraries = ("jaxlib", "flax", "optax")
    device = current_device()
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
    started = _has_started()
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


def _has_started() -> bool:
    """Whether JAX has made its devices; from then on it refuses to change how many of a CPU there are."""
    number = jax.config.jax_num_cpu_devices
    try:
        jax.config.update("jax_num_cpu_devices", 1 if number != 1 else 2)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", number)
    return False


def peak_memory_bytes() -> int | None:
    """Peak memory of the accelerator; None on a CPU, where the process's own peak is the figure."""
    device = current_device()
    statistics = device.memory_stats() if device.platform != "cpu" else None
    return None if statistics is None else statistics.get("peak_bytes_in_use")


def current_device() -> jax.Device:
    """The device that `set_up` chose; JAX's first one before."""
    return jax.config.jax_default_device or jax.devices()[0]


def to_device(array: np.ndarray, dtype: str) -> jax.Array:
    """An array on the device, converted to `dtype`."""
    return jnp.asarray(array, dtype)


def to_numpy(array: jax.Array) -> np.ndarray:
    """A device's array as a float64 array."""
    return np.asarray(array, np.float64)
