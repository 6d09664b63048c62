"""What a record was measured on: processor, memory, system, libraries, git commit, threads, accelerators, clocks.

The flags that a framework itself holds (determinism, TF32, threads in use) come from the backend's `describe` and stand
beside these as `backend.<flag>`.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from results.places import CLONE

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
    "NPROC",
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


Environment = dict[str, str | int | float | bool]

# nvidia-smi's names, and ours; the first are of the card, the second of the moment.
_GPU_FIELDS = {
    "name": "gpu",
    "driver_version": "gpu_driver",
    "memory.total": "gpu_memory_mb",
    "compute_cap": "gpu_capability",
    "clocks.max.sm": "gpu_mhz_max",
    "clocks.max.mem": "gpu_memory_mhz_max",
    "power.limit": "gpu_power_limit_w",
}
_GPU_STATE = {
    "clocks.sm": "now.gpu_mhz",
    "clocks.mem": "now.gpu_memory_mhz",
    "temperature.gpu": "now.gpu_celsius",
    "utilization.gpu": "now.gpu_percent",
}


def capture() -> Environment:
    """The environment of this process, as a flat dict; imports no framework.

    Returns:
        `cpu`, `cpu_isa` (its widest vectors), `cpu_mhz_max`, `cpu_governor`, `cores`, `cores_physical`, `cores_usable`
        (this process may run on), `cores_quota` (of the container), `memory_gb`, `os`, `python`; `git_commit`,
        `git_dirty`; `version.<library>` for those of LIBRARIES that are installed; `variable.<NAME>` for those of
        VARIABLES that are set; where nvidia-smi finds cards `gpu`, `gpu_driver`, `gpu_memory_mb`, `gpu_capability`,
        `gpu_mhz_max`, `gpu_memory_mhz_max`, `gpu_power_limit_w`, one value or several with "; "; and `state()`.
        What cannot be found out is left out.
    """
    variables = {f"variable.{name}": os.environ[name] for name in VARIABLES if name in os.environ}
    return {**_constant(), **variables, **state()}


def state() -> Environment:
    """What changes from one moment to the next: `now.load` (processes that want a core), `now.cpu_mhz`, GPU clocks."""
    import psutil

    moment: Environment = {}
    with contextlib.suppress(OSError):  # Windows without its counters
        moment["now.load"] = round(psutil.getloadavg()[0], 2)
    frequency = _frequency()
    if frequency is not None and frequency.current:
        moment["now.cpu_mhz"] = round(frequency.current)
    return moment | _gpu(_GPU_STATE)


@functools.cache
def _constant() -> Environment:
    import psutil

    constant: Environment = {
        "cpu": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
    }
    frequency = _frequency()
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    optional = {
        "cpu_isa": _vectors(),
        "cpu_mhz_max": round(frequency.max) if frequency is not None else 0,
        "cpu_governor": governor.read_text().strip() if governor.is_file() else "",
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "cores_quota": _quota(Path("/sys/fs/cgroup/cpu.max")),
    }
    constant |= {name: value for name, value in optional.items() if value}
    for library in LIBRARIES:
        try:
            constant[f"version.{library}"] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return constant | _git() | _gpu(_GPU_FIELDS)


def _frequency() -> Any:
    """psutil's clock of the processor, or None where the system keeps it to itself."""
    import psutil

    try:
        return psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError):
        return None


def _vectors() -> str:
    """The widest vector instructions: they decide the order of sums, and with it the last digits of a result."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(errors="replace").lower().split()) if cpuinfo.is_file() else set()
    return next((name for name in ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd") if name in flags), "")


def _quota(file: Path) -> float | None:
    """Cores that the container may use, from its control group's "quota period"; None without a limit."""
    if not file.is_file():
        return None
    quota, _, period = file.read_text().strip().partition(" ")
    return round(int(quota) / int(period), 2) if quota.isdigit() and period.isdigit() else None


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
    if not (CLONE / ".git").exists():
        return {}
    commit = _output("git", "-C", str(CLONE), "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"git_commit": commit, "git_dirty": bool(_output("git", "-C", str(CLONE), "status", "--porcelain"))}


def cards(fields: tuple[str, ...]) -> list[dict[str, str]]:
    """nvidia-smi's fields of each card; empty where there is none."""
    if not _has_cards():
        return []
    command = ("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    lines = [[value.strip() for value in line.split(",")] for line in _output(*command).splitlines()]
    return [dict(zip(fields, values, strict=True)) for values in lines if len(values) == len(fields)]


@functools.cache
def _has_cards() -> bool:
    return bool(_output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader"))


def _gpu(fields: dict[str, str]) -> Environment:
    """Values of nvidia-smi's fields under our names; of several cards one after another."""
    of_cards = cards(tuple(fields))
    joined = {ours: "; ".join(dict.fromkeys(card[name] for card in of_cards)) for name, ours in fields.items()}
    return {name: value for name, value in joined.items() if value and "[" not in value}  # "[N/A]", "[Not Supported]"


def _output(*command: str) -> str:
    """Standard output of a command, or "" where the command is missing, fails or takes longer than ten seconds."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
