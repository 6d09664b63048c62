"""Checkpoints of a training: one safetensors file that holds all of its state, replaced as a whole.

Arrays are stored by name; everything else is JSON in the file's header, with a digest of the arrays. Nothing in such a
file can be executed. A training killed at any moment leaves the previous checkpoint or the new one.

What a result depends on is stored too, in two parts. `settings` decide it by intention (method, numbers, optimizer,
learning rates, teacher): a resumed training must have the same, anything else is an error. `surroundings` decide its
last digits (threads, device, version of the framework): where they differ training goes on, with a warning, since the
result will not be bit for bit that of an uninterrupted one.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing
from .schedules import Schedule

FORMAT = "abkd-benchmark training 1"
# NumPy types that the file format has; others (bfloat16 of ml_dtypes) are stored as bytes
_STORED = "fiub"
# what the header holds beside the digest, each an object
_PARTS = ("types", "state", "settings", "surroundings")
# what a header that someone else wrote may lead to
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, ImportError, OSError)


@dataclass(frozen=True)
class Checkpoint:
    """State of a training between two steps.

    Attributes:
        arrays: NumPy arrays by name.
        state: plain data (what JSON holds), beside them.
        settings, surroundings: what the result depends on, see the module.
    """

    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]
    settings: Mapping[str, Any]
    surroundings: Mapping[str, str]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint at `path`, in place of the one that is there.

    Raises:
        OSError: the folder cannot be written.
        ModuleNotFoundError: safetensors is not installed.
    """
    arrays = {name: _stored(array) for name, array in checkpoint.arrays.items()}
    header = {
        "format": FORMAT,
        "digest": digest(arrays),
        "types": {name: (array.dtype.name, array.shape) for name, array in checkpoint.arrays.items()},
        "state": checkpoint.state,
        "settings": checkpoint.settings,
        "surroundings": checkpoint.surroundings,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        _safetensors().numpy.save_file(arrays, temporary, {"training": json.dumps(header, default=_plain)})


def read(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, None where there is no file.

    Raises:
        ValueError: the file is damaged or something else; it is left as it is.
    """
    if not path.exists():
        return None
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = json.loads((file.metadata() or {}).get("training", "null"))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise ValueError(f"it is no checkpoint of the format {FORMAT!r}")
            if wrong := [part for part in _PARTS if not isinstance(header.get(part), dict)]:
                raise ValueError(f"its header holds no {' and no '.join(wrong)}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if digest(arrays) != header["digest"]:
            raise ValueError("its arrays are not those that were written")
        arrays = {name: _restored(array, *header["types"][name]) for name, array in arrays.items()}
        return Checkpoint(arrays, header["state"], header["settings"], header["surroundings"])
    except (safetensors.SafetensorError, *_UNREADABLE) as error:
        raise ValueError(
            f"checkpoint={str(path)!r} cannot be read: {error}. Delete the file to train from the start, or name another"
        ) from error


def check(path: Path, checkpoint: Checkpoint, settings: Mapping[str, Any], surroundings: Mapping[str, str]) -> None:
    """Compare a checkpoint with the training that is to go on from it.

    Raises:
        ValueError: a setting differs; the message names each with both values.

    Warns:
        RuntimeWarning: surroundings differ, so that the result will differ from an uninterrupted run's in rounding.
    """
    plain = json.loads(json.dumps(settings, default=_plain))
    if different := differences(checkpoint.settings, plain):
        raise ValueError(
            f"checkpoint={str(path)!r} belongs to another training: {different}. Delete the file to train from the "
            "start, name another, or go back to the settings that it was made with"
        )
    if different := differences(checkpoint.surroundings, dict(surroundings)):
        warnings.warn(
            f"checkpoint={str(path)!r} was made under other conditions: {different}. Training goes on from it; the "
            "result will not be bit for bit that of an uninterrupted run",
            RuntimeWarning,
            stacklevel=2,
        )


def rate_samples(rate: Schedule | None, epochs: int, steps_per_epoch: int | None) -> dict[str, float]:
    """The learning rate at the first, second, third, fifth, … (powers of two) and last step, by step."""
    if rate is None or not steps_per_epoch:
        return {}
    steps = epochs * steps_per_epoch
    chosen = {0, steps - 1, *(1 << k for k in range(steps.bit_length()) if 1 << k < steps)}
    return {str(step): float(rate(step, step // steps_per_epoch, steps_per_epoch)) for step in sorted(chosen)}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of named arrays: names, types, shapes and contents."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()[:32]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Each value that differs, as "name: then …, now …"; empty where none does."""
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return "; ".join(f"{name}: then {old.get(name)!r}, now {new.get(name)!r}" for name in names)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} is not plain data, which is all that a checkpoint holds")


def _stored(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    if array.dtype.kind in _STORED and array.dtype.isbuiltin == 1:
        return array
    return array.reshape(-1).view(np.uint8)


def _restored(array: np.ndarray, dtype: str, shape: list[int]) -> np.ndarray:
    if array.dtype.name == dtype:
        return array.reshape(shape)  # a scalar comes back as [1]
    import ml_dtypes  # comes with the frameworks whose arrays have such types

    return array.view(getattr(ml_dtypes, dtype)).reshape(shape)


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "checkpoint=… needs the package 'safetensors', which is not installed: pip install safetensors", name="safetensors"
        ) from error
    return safetensors
