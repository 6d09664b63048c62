"""Convert a published PyTorch checkpoint to the weight file that every backend reads.

    python -m backends.torch.convert resnet56.pth resnet56.safetensors --model resnet56

Nothing in a checkpoint is executed: only tensors, containers and plain numbers are unpickled.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..common import networks
from ..common.weight_files import check_weights, save_weights
from .models.weights import COUNTER

_KEYS = ("model", "state_dict")  # where training scripts put the weights beside epoch, optimiser and accuracy
_PARALLEL = "module."  # put before every name by torch.nn.DataParallel


def read_checkpoint(path: str | os.PathLike, spec: networks.ModelSpec) -> dict[str, np.ndarray]:
    """Read the weights of a network from a PyTorch checkpoint, without executing what it may contain.

    Args:
        path: of a state dictionary, or of a dictionary that has it as "model" or "state_dict"; names may begin with
            `module.`, and PyTorch's counter of batches is left out.
        spec: the network.

    Returns:
        Arrays by PyTorch name: float64 where the checkpoint has that, float32 otherwise.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, holds anything but plain data, or does not fit `spec`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"path={os.fspath(path)!r} is not a file; give the place of a PyTorch checkpoint")
    state = _state_dictionary(_load(path), path)
    if state and all(name.startswith(_PARALLEL) for name in state):
        state = {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    state = {name: value for name, value in state.items() if not name.endswith(COUNTER)}
    wanted = {name: row.shape for name, row in networks.parameters(spec).items()}
    check_weights(
        {name: tuple(value.shape) for name, value in state.items()}, wanted, f"{spec.description} (file {os.fspath(path)!r})"
    )
    return {name: _to_numpy(name, state[name]) for name in wanted}


def _load(path: str | os.PathLike) -> Any:
    # training scripts store the best accuracy as a NumPy number, which can be made without running anything
    numbers = [np.dtype, *(type(np.dtype(name)) for name in ("float64", "float32", "int64"))]
    scalars = [
        (np.float64(0).__reduce__()[0], f"{module}.scalar") for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    ]
    try:
        with torch.serialization.safe_globals([*numbers, *scalars]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can make an unpickler raise almost anything
        raise ValueError(
            f"path={os.fspath(path)!r} is damaged or holds more than plain weights, and nothing of it was executed "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}); "
            "download it again, or save its model.state_dict() where you trust it"
        ) from error


def _state_dictionary(content: Any, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    for key in _KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ValueError(
            f"path={os.fspath(path)!r} holds no state dictionary; names with tensors are needed, alone or under "
            f"{' or '.join(map(repr, _KEYS))}"
        )
    return dict(content)


def _to_numpy(name: str, tensor: torch.Tensor) -> np.ndarray:
    if not tensor.is_floating_point():
        raise ValueError(f"weight {name!r} has type {tensor.dtype}; floating-point numbers are needed")
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return np.ascontiguousarray(wide.detach().numpy())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="a PyTorch checkpoint (.pth, .pt, .tar)")
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(networks.CIFAR_NETWORKS)}")
    parser.add_argument("--classes", type=int, default=100, help="number of outputs (100)")
    parser.add_argument("--image-size", type=int, default=32, help="height and width of an image (32)")
    options = parser.parse_args(arguments)
    try:
        shape = (options.image_size, options.image_size, 3)
        spec = networks.get(options.model, input_shape=shape, classes=options.classes)
        arrays = read_checkpoint(options.checkpoint, spec)
        save_weights(options.output, arrays)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {len(arrays)} arrays of {spec.name}, {networks.parameter_count(spec):,} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
