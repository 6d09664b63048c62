"""Networks as plain data, by name: parameters, shapes, and initial weights that all backends share."""

import hashlib
import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np

from . import convolutional
from .convolutional import CIFAR_NETWORKS, ConvolutionalSpec
from .specification import Family, ModelSpec, Parameter

__all__ = [
    "CIFAR_NETWORKS",
    "FAMILIES",
    "ConvolutionalSpec",
    "Family",
    "ModelSpec",
    "Parameter",
    "builder_of",
    "frozen_names",
    "get",
    "initial_weights",
    "parameter_count",
    "parameters",
]

Builder = TypeVar("Builder")

# every family by name; a plug-in may add its own, and the builder to a backend's `models.BUILDERS`
FAMILIES: dict[str, Family] = dict(convolutional.FAMILIES)


def get(name: str, **facts: Any) -> ModelSpec:
    """Read a network's name. Case does not matter, and `_` is read as `-`: WRN-40-2 and wrn_40_2 are one.

    Args:
        name: "convnet-16-32-64" (widths of its stages, 2×2 max-pooling between them), "resnet56", "resnet32x4" (depth,
            four times as wide), "wrn-40-2" (depth, width), "vgg8" or "vgg13", or what a further family reads.
        facts: what the network must know of the data: `input_shape`, (height, width, channels) of an image, and
            `classes`, the number of outputs, for the networks above.

    Raises:
        ValueError: the name is none of these, its depth does not divide into whole blocks, or a fact is missing.
    """
    canonical = name.lower().replace("_", "-")
    for family in FAMILIES.values():
        spec = family.read(canonical, facts)
        if spec is not None:
            return spec
    raise ValueError(f"model={name!r} is not known; write one of {', '.join(row.spelling for row in FAMILIES.values())}")


def builder_of(spec: ModelSpec, builders: Mapping[str, Builder], backend: str) -> Builder:
    """A backend's builder for a network; ValueError says which families it has where it lacks this one."""
    if spec.family not in builders:
        raise ValueError(
            f"family={spec.family!r} of model {spec.name!r} has no builder in the backend {backend!r}; "
            f"it has {', '.join(builders)}, and `models.BUILDERS` takes more"
        )
    return builders[spec.family]


def parameters(spec: ModelSpec) -> dict[str, Parameter]:
    """Return every array of the model, trained or running statistic, by its PyTorch name."""
    return dict(FAMILIES[spec.family].parameters(spec))


def frozen_names(spec: ModelSpec) -> set[str]:
    """Names of the arrays that training leaves as they are.

    Raises:
        ValueError: a pattern of `spec.frozen` that is no array's.
    """
    names, frozen = list(parameters(spec)), set()
    for pattern in spec.frozen:
        matching = {name for name in names if fnmatchcase(name, pattern)}
        if not matching:
            raise ValueError(f"frozen={pattern!r} is no parameter of {spec.name}; it has {', '.join(names[:5])} and so on")
        frozen |= matching
    return frozen


def initial_weights(spec: ModelSpec, seed: int) -> dict[str, np.ndarray]:
    """Draw a model's initial weights, float64, the same for every backend, as the network's authors initialise it.

    Each array has a random stream of its own, counted from the seed and the array's name, so that no array depends on
    the others or on their order; see `Family.one_stream` for the exception.
    """
    shared = np.random.RandomState(seed) if FAMILIES[spec.family].one_stream else None
    weights = {}
    for name, parameter in parameters(spec).items():
        if parameter.initial == "constant":
            weights[name] = np.full(parameter.shape, parameter.scale)
            continue
        random = shared or _stream(seed, name)  # RandomState's algorithms are frozen across NumPy versions
        if parameter.initial == "normal":
            weights[name] = random.standard_normal(parameter.shape) * parameter.scale
        else:
            weights[name] = random.uniform(-1, 1, parameter.shape) * parameter.scale
    return weights


def _stream(seed: int, name: str) -> np.random.RandomState:
    """The random stream of one array."""
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16]
    return np.random.RandomState(np.random.Philox(key=np.frombuffer(key, "<u8")))


def parameter_count(spec: ModelSpec) -> int:
    """Number of trained parameters, frozen ones among them (running statistics are not counted)."""
    return sum(math.prod(parameter.shape) for parameter in parameters(spec).values() if parameter.trained)
