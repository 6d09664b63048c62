"""Network architectures as plain data: their parameters' names and shapes, and initial weights that backends share.

Names and layouts are PyTorch's (convolution `[out, in, height, width]`, linear `[out, in]`), so that published PyTorch
checkpoints fit; each backend's `weights` module translates. An architecture is a row in `FAMILIES`: how its name is
read, and which parameters it has.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ModelSpec:
    """One network.

    Attributes:
        name: what users type, e.g. "convnet-16-32".
        family: the builder in each backend's `models` module.
        widths: channels of each stage.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
    """

    name: str
    family: str
    widths: tuple[int, ...]
    input_shape: tuple[int, int, int]
    classes: int


@dataclass(frozen=True)
class ParameterShape:
    """Shape of one array of a model and its kind: "conv", "linear", "bias", "scale", "shift", "mean" or "variance"."""

    shape: tuple[int, ...]
    kind: str


def _convnet_parameters(spec: ModelSpec) -> Iterator[tuple[str, ParameterShape]]:
    """Stages of 3×3 convolution (padded by 1, no bias), batch normalisation and ReLU; then mean over space, linear."""
    channels = spec.input_shape[2]
    for i, width in enumerate(spec.widths):
        yield f"stages.{i}.conv.weight", ParameterShape((width, channels, 3, 3), "conv")
        yield from _batch_norm(f"stages.{i}.bn", width)
        channels = width
    yield "linear.weight", ParameterShape((spec.classes, channels), "linear")
    yield "linear.bias", ParameterShape((spec.classes,), "bias")


def _batch_norm(prefix: str, width: int) -> Iterator[tuple[str, ParameterShape]]:
    for name, kind in (("weight", "scale"), ("bias", "shift"), ("running_mean", "mean"), ("running_var", "variance")):
        yield f"{prefix}.{name}", ParameterShape((width,), kind)


FAMILIES: dict[str, Callable[[ModelSpec], Iterator[tuple[str, ParameterShape]]]] = {"convnet": _convnet_parameters}


def get(name: str, *, input_shape: tuple[int, int, int], classes: int) -> ModelSpec:
    """Read an architecture's name.

    Args:
        name: family and widths, e.g. "convnet-16-32-64": three stages, 2×2 max-pooling between stages.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.

    Raises:
        ValueError: unknown family or widths that are not positive integers.
    """
    family, *widths = name.split("-")
    if family not in FAMILIES or not widths or not all(w.isdigit() and int(w) > 0 for w in widths):
        raise ValueError(
            f"model={name!r} is not known; write a family and its widths, e.g. convnet-16-32 (families: {', '.join(FAMILIES)})"
        )
    return ModelSpec(name, family, tuple(int(w) for w in widths), tuple(input_shape), classes)


def parameter_shapes(spec: ModelSpec) -> dict[str, ParameterShape]:
    """Return every array of the model, trained or running statistic, by its PyTorch name."""
    return dict(FAMILIES[spec.family](spec))


def initial_weights(spec: ModelSpec, seed: int) -> dict[str, np.ndarray]:
    """Draw a model's initial weights, float64, the same for every backend.

    Convolutions: normal with variance 2 / (out · height · width) (He et al., 2015, fan-out). Linear weights and biases:
    uniform within ±1/√in (PyTorch's default). Batch normalisation: scale 1, shift 0, running mean 0 and variance 1.
    """
    random = np.random.RandomState(seed)  # its stream is frozen across NumPy versions
    constant = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0}
    weights: dict[str, np.ndarray] = {}
    fan_in = 1
    for name, parameter in parameter_shapes(spec).items():
        if parameter.kind in constant:
            weights[name] = np.full(parameter.shape, constant[parameter.kind])
        elif parameter.kind == "conv":
            out, _, height, width = parameter.shape
            weights[name] = random.standard_normal(parameter.shape) * math.sqrt(2 / (out * height * width))
        else:
            fan_in = parameter.shape[1] if parameter.kind == "linear" else fan_in
            weights[name] = random.uniform(-1, 1, parameter.shape) / math.sqrt(fan_in)
    return weights


def parameter_count(spec: ModelSpec) -> int:
    """Number of trained parameters (running statistics are not counted)."""
    shapes = parameter_shapes(spec).values()
    return sum(math.prod(p.shape) for p in shapes if p.kind not in ("mean", "variance"))
