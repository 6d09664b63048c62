"""Weights as files: safetensors with PyTorch's names and layouts, which every backend reads and writes.

Files need the package safetensors (in the extra `harness`). Such a file holds numbers only: reading one executes nothing.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .files import replacing
from .networks import ModelSpec, parameters

_TYPES = {"F32": "float32", "F64": "float64"}
_PACKAGE = __package__.rpartition(".")[0]  # what users import it by
_LISTED = 10  # names that an error message lists of each kind


def check_weights(
    shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], what: str = "the model"
) -> None:
    """Check that the arrays at hand are exactly those of a model.

    Args:
        shapes, wanted: of the arrays and of the model's parameters, by PyTorch name.
        what: the model, in words.

    Raises:
        ValueError: names are missing, names are not known, or shapes differ; the message lists all three.
    """
    wrong = [
        f"{name} {tuple(shapes[name])} (needs {tuple(wanted[name])})"
        for name in wanted
        if name in shapes and tuple(shapes[name]) != tuple(wanted[name])
    ]
    problems = {
        "missing": [name for name in wanted if name not in shapes],
        "not known": [name for name in shapes if name not in wanted],
        "wrong shape": wrong,
    }
    if any(problems.values()):
        text = "; ".join(f"{problem}: {_listed(names)}" for problem, names in problems.items() if names)
        raise ValueError(f"weights do not fit {what}: {text}. Check the model's name and its number of classes")


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def save_weights(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write weights, so that a reader never sees half a file.

    Args:
        path: of the safetensors file; replaced if it is there.
        arrays: float32 or float64, by PyTorch name, in PyTorch's layouts.

    Raises:
        ValueError: an array of another type.
    """
    from safetensors.numpy import save_file

    for name, array in arrays.items():
        if array.dtype.name not in _TYPES.values():
            raise ValueError(f"weight {name!r} has type {array.dtype.name}; convert it to float32 or float64")
    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def read_weights(path: str | os.PathLike, spec: ModelSpec) -> dict[str, np.ndarray]:
    """Read the weights of one network.

    Args:
        path: of a safetensors file.
        spec: the network; names and shapes are checked against it before any array is read.

    Returns:
        float32 or float64 arrays by PyTorch name, as `load_weights` of each backend takes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a safetensors file, holds other types, or does not fit `spec`.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"path={os.fspath(path)!r} is not a file; give the place of a .safetensors file")
    try:
        with safe_open(path, framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            check_weights(shapes, {name: row.shape for name, row in parameters(spec).items()}, spec.description)
            for name, part in parts.items():
                if part.get_dtype() not in _TYPES:
                    raise ValueError(
                        f"weight {name!r} in {os.fspath(path)!r} has type {part.get_dtype()}; F32 and F64 can be read: "
                        "convert it first"
                    )
            return {name: file.get_tensor(name) for name in parts}
    except SafetensorError as error:
        raise ValueError(
            f"path={os.fspath(path)!r} is not a whole safetensors file ({error}); PyTorch checkpoints are converted "
            f"with python -m {_PACKAGE}.torch.convert"
        ) from error
