"""Weights of a teacher that the user gives: looked at before anything is planned, and named by their content."""

import functools
import hashlib
from pathlib import Path

import numpy as np

from backends.common import weight_files
from suites.distill import defaults, networks
from suites.selection import Selection


def check(selection: Selection) -> None:
    """Look whether the file holds weights of every teacher of the selection.

    Raises:
        ValueError: it cannot be read, is no safetensors file, or its weights are of another network, or not finite.
    """
    if selection.teacher_weights is None:
        return
    path = _regular(selection.teacher_weights)
    for dataset, pair in defaults.trainings(selection):
        name = networks.split_pair(pair)[0]
        try:
            weights = weight_files.read_weights(path, networks.specification(name, dataset, selection.scale))
        except (OSError, ValueError) as error:
            raise ValueError(f"teacher_weights {str(path)!r} are no weights of {name!r} on {dataset}: {error}") from error
        broken = next((name for name, array in weights.items() if not np.isfinite(array).all()), None)
        if broken is not None:
            raise ValueError(
                f"teacher_weights {str(path)!r}: the array {broken!r} holds NaN or inf; its training has diverged, so give "
                "the weights of another one"
            )


def named(path: str | None) -> str | None:
    """How a cell names a file of given weights: its name and a digest of its content, so that its key changes with it.

    Raises:
        ValueError: it cannot be read, or is no regular file.
    """
    if path is None:
        return None
    file = _regular(path)
    try:
        status = file.stat()
        return f"{file.name} {_digest(file.absolute(), status.st_size, status.st_mtime_ns)[:16]}"
    except OSError as error:
        raise ValueError(f"teacher_weights {path!r} cannot be read ({error.strerror}); name a .safetensors file") from error


def _regular(path: str) -> Path:
    """The file, which is there; of a device nobody knows the end."""
    file = Path(path).expanduser()
    try:
        found = "" if file.is_file() else "is no file" if file.exists() else "is not there"
    except OSError as error:  # such as a name that is too long
        found = f"cannot be read ({error.strerror})"
    if found:
        raise ValueError(f"teacher_weights {path!r} {found}; name a .safetensors file")
    return file


@functools.lru_cache(maxsize=4)
def _digest(path: Path, size: int, modified: int) -> str:
    """Of the file as it is now: cells ask for it one by one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
