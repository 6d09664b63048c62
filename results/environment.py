"""What a record was measured on: processor, memory, system, libraries, git commit, threads, accelerators."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "triton",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "tensorflow",
    "keras",
    "mlflow",
)

# What sets thread counts and numerical modes from outside; part of the record because it changes results or timings.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "XLA_FLAGS",
    "TF_ENABLE_ONEDNN_OPTS",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "JAX_PLATFORMS",
)


def capture() -> dict[str, str | int | float | bool]:
    """The environment of this process, as a flat dict; imports no framework.

    Returns:
        `cpu`, `cores`, `cores_usable`, `memory_gb`, `os`, `python`, `git_commit`, `git_dirty`, `version.<library>` for
        those of LIBRARIES that are installed, `variable.<NAME>` for those of VARIABLES that are set, and
        `gpu`, `gpu_driver` where nvidia-smi finds one. What cannot be found out is left out.
    """
    return {**_constant(), **{f"variable.{name}": os.environ[name] for name in VARIABLES if name in os.environ}}


@functools.cache
def _constant() -> dict[str, str | int | float | bool]:
    import psutil

    found: dict[str, str | int | float | bool] = {
        "cpu": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
    }
    if hasattr(os, "sched_getaffinity"):
        found["cores_usable"] = len(os.sched_getaffinity(0))
    for library in LIBRARIES:
        try:
            found[f"version.{library}"] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | _git() | _gpu()


def _processor() -> str:
    """The processor's model name; `platform.processor()` is empty or "x86_64" on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _git() -> dict[str, str | bool]:
    clone = Path(__file__).resolve().parent.parent
    if not (clone / ".git").exists():
        return {}
    commit = _output("git", "-C", str(clone), "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"git_commit": commit, "git_dirty": bool(_output("git", "-C", str(clone), "status", "--porcelain"))}


def _gpu() -> dict[str, str]:
    lines = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
    cards = [[word.strip() for word in line.split(",")] for line in lines if line.count(",") == 1]
    if not cards:
        return {}
    return {"gpu": "; ".join(name for name, _ in cards), "gpu_driver": cards[0][1]}


def _output(*command: str) -> str:
    """Standard output of a command, or "" where the command is missing, fails or takes longer than ten seconds."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
