"""The device that this process computes on, and the settings that decide whether results repeat."""

import os

import numpy as np
import torch

NAME = "torch"
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_device = torch.device("cpu")


def set_up(*, threads: int | None = None, device: str = "auto") -> str:
    """Make results repeatable and choose the device, once per process.

    Args:
        threads: of the CPU; None leaves PyTorch's choice.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        ValueError: an unknown device, or a GPU that is not there.
    """
    global _device
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is not known; choose one of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda': PyTorch sees no GPU here; choose 'cpu' or 'auto'")
    if threads is not None:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that writes all memory twice
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    _device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    return _device.type


def describe() -> dict[str, str]:
    """Framework, version, device, threads and the flags that decide whether results repeat."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": torch.cuda.get_device_name(_device) if _device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "tf32": str(torch.backends.cuda.matmul.allow_tf32),
    }


def peak_memory_bytes() -> int | None:
    """Peak of the accelerator's memory since it was last asked; None on a CPU."""
    if _device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(_device)
    torch.cuda.reset_peak_memory_stats(_device)
    return peak


def current_device() -> torch.device:
    """The device that `set_up` chose; the CPU before."""
    return _device


def to_device(array: np.ndarray, dtype: str) -> torch.Tensor:
    """An array on the device, converted to a type of `DTYPES`."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(_device, DTYPES[dtype])


def to_numpy(array: torch.Tensor) -> np.ndarray:
    """A tensor as a float64 array."""
    return array.detach().to("cpu", torch.float64).numpy()
