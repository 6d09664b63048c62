"""The machine that this process is on: the cores that it may use, and its resident memory, now and at its peak.

Linux keeps the peak (VmHWM) and lets a process set it back to the present size (proc(5), clear_refs). Elsewhere the
peak since the start is all there is; `reset_peak` then says False.
"""

import os
import sys
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows has none
    resource = None

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _status(field: str) -> int | None:
    if not STATUS.exists():
        return None
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def resident_bytes() -> int:
    """Bytes resident at this moment; where the system does not say, the peak so far."""
    now = _status("VmRSS")
    return peak_bytes() if now is None else now


def peak_bytes() -> int:
    """Most bytes resident since the start of the process or the last `reset_peak`."""
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    if resource is None:
        import psutil

        return psutil.Process().memory_info().peak_wset
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Set the peak back to the present size. False where the system does not allow it."""
    try:
        CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


# what errors of the frameworks, of Python and of the system say
_OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "cannot allocate memory", "can't allocate memory", "memoryerror")


def ran_out(text: str) -> bool:
    """Whether the words of an error are those of a lack of memory."""
    return any(words in text.lower() for words in _OUT_OF_MEMORY)
