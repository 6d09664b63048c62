"""Network architectures as plain data: their parameters' names and shapes, and initial weights that backends share.

Names and layouts are PyTorch's (convolution `[out, in, height, width]`, linear `[out, in]`). The networks for CIFAR
carry the names of the widely used CRD/RepDistiller checkpoints, so that published weights load by name; each backend's
`weights` module translates. An architecture is a row in `FAMILIES`: how its name is read, and which parameters it has.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ModelSpec:
    """One network.

    Attributes:
        name: the canonical spelling, e.g. "convnet-16-32", "resnet56", "wrn-40-2".
        family: the builder in each backend's `models` module.
        widths: channels of each stage; in residual networks the first entry is the stem's.
        blocks: convolutions (convnet, vgg) or residual blocks of two convolutions in each stage.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
    """

    name: str
    family: str
    widths: tuple[int, ...]
    blocks: int
    input_shape: tuple[int, int, int]
    classes: int


@dataclass(frozen=True)
class Parameter:
    """One array of a model.

    Attributes:
        shape: in PyTorch's layout.
        initial: distribution of its initial values: N(0, scale²), uniform within ±scale, or scale itself.
        scale: see `initial`.
        trained: False for running statistics.
    """

    shape: tuple[int, ...]
    initial: Literal["normal", "uniform", "constant"]
    scale: float
    trained: bool = True


Parameters = Iterator[tuple[str, Parameter]]


def _convolution(prefix: str, channels: int, width: int, size: int = 3, *, bias: bool = False) -> Parameters:
    """Normal with variance 2 / (out · height · width): He et al., 2015, "fan-out"."""
    yield f"{prefix}.weight", Parameter((width, channels, size, size), "normal", math.sqrt(2 / (width * size * size)))
    if bias:
        yield f"{prefix}.bias", Parameter((width,), "constant", 0.0)


def _batch_norm(prefix: str, width: int) -> Parameters:
    yield f"{prefix}.weight", Parameter((width,), "constant", 1.0)
    yield f"{prefix}.bias", Parameter((width,), "constant", 0.0)
    yield f"{prefix}.running_mean", Parameter((width,), "constant", 0.0, trained=False)
    yield f"{prefix}.running_var", Parameter((width,), "constant", 1.0, trained=False)


def _linear(prefix: str, channels: int, classes: int, *, zero_bias: bool = False) -> Parameters:
    """Uniform within ±1/√in, PyTorch's default."""
    bound = 1 / math.sqrt(channels)
    yield f"{prefix}.weight", Parameter((classes, channels), "uniform", bound)
    yield f"{prefix}.bias", Parameter((classes,), *(("constant", 0.0) if zero_bias else ("uniform", bound)))


def _convnet_parameters(spec: ModelSpec) -> Parameters:
    """Stages of 3×3 convolution (padded by 1, no bias), batch normalisation and ReLU; then mean over space, linear."""
    channels = spec.input_shape[2]
    for i, width in enumerate(spec.widths):
        yield from _convolution(f"stages.{i}.conv", channels, width)
        yield from _batch_norm(f"stages.{i}.bn", width)
        channels = width
    yield from _linear("linear", channels, spec.classes)


@dataclass(frozen=True)
class ResidualBlock:
    """Place and shape of one residual block: its stage and number in it (both from 0), channels in and out, stride.

    A block whose shapes in and out differ has a 1×1 convolution as its shortcut.
    """

    stage: int
    number: int
    channels: int
    width: int
    stride: int

    @property
    def changes_shape(self) -> bool:
        """Whether the shortcut needs a convolution."""
        return self.stride != 1 or self.channels != self.width


def residual_blocks(spec: ModelSpec) -> list[ResidualBlock]:
    """The blocks of a residual network in order; every stage but the first begins with stride 2."""
    blocks, channels = [], spec.widths[0]
    for stage, width in enumerate(spec.widths[1:]):
        for number in range(spec.blocks):
            blocks.append(ResidualBlock(stage, number, channels, width, 2 if stage > 0 and number == 0 else 1))
            channels = width
    return blocks


def _resnet_parameters(spec: ModelSpec) -> Parameters:
    """He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, with 1×1 shortcuts."""
    yield from _convolution("conv1", spec.input_shape[2], spec.widths[0])
    yield from _batch_norm("bn1", spec.widths[0])
    for block in residual_blocks(spec):
        prefix = f"layer{block.stage + 1}.{block.number}"
        yield from _convolution(f"{prefix}.conv1", block.channels, block.width)
        yield from _batch_norm(f"{prefix}.bn1", block.width)
        yield from _convolution(f"{prefix}.conv2", block.width, block.width)
        yield from _batch_norm(f"{prefix}.bn2", block.width)
        if block.changes_shape:
            yield from _convolution(f"{prefix}.downsample.0", block.channels, block.width, 1)
            yield from _batch_norm(f"{prefix}.downsample.1", block.width)
    yield from _linear("fc", spec.widths[-1], spec.classes)


def _wide_resnet_parameters(spec: ModelSpec) -> Parameters:
    """Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016: normalisation and ReLU before each convolution."""
    yield from _convolution("conv1", spec.input_shape[2], spec.widths[0])
    for block in residual_blocks(spec):
        prefix = f"block{block.stage + 1}.layer.{block.number}"
        yield from _batch_norm(f"{prefix}.bn1", block.channels)
        yield from _convolution(f"{prefix}.conv1", block.channels, block.width)
        yield from _batch_norm(f"{prefix}.bn2", block.width)
        yield from _convolution(f"{prefix}.conv2", block.width, block.width)
        if block.changes_shape:
            yield from _convolution(f"{prefix}.convShortcut", block.channels, block.width, 1)
    yield from _batch_norm("bn1", spec.widths[-1])
    yield from _linear("fc", spec.widths[-1], spec.classes, zero_bias=True)


def _vgg_parameters(spec: ModelSpec) -> Parameters:
    """Simonyan & Zisserman, 2015, with batch normalisation and one linear layer; a unit counts as three modules."""
    channels = spec.input_shape[2]
    for stage, width in enumerate(spec.widths):
        for number in range(spec.blocks):
            yield from _convolution(f"block{stage}.{3 * number}", channels, width, bias=True)
            yield from _batch_norm(f"block{stage}.{3 * number + 1}", width)
            channels = width
    yield "classifier.weight", Parameter((spec.classes, channels), "normal", 0.01)
    yield "classifier.bias", Parameter((spec.classes,), "constant", 0.0)


FAMILIES: dict[str, Callable[[ModelSpec], Parameters]] = {
    "convnet": _convnet_parameters,
    "resnet": _resnet_parameters,
    "wide_resnet": _wide_resnet_parameters,
    "vgg": _vgg_parameters,
}
# the networks of the paper's pairs on CIFAR-100
CIFAR_NETWORKS = (
    *("resnet8x4", "resnet20", "resnet32", "resnet32x4", "resnet44", "resnet56", "resnet110"),
    *("wrn-16-2", "wrn-40-1", "wrn-40-2", "vgg8", "vgg13"),
)
_RESNET_WIDTHS = {"": (16, 16, 32, 64), "x4": (32, 64, 128, 256)}
_VGG_WIDTHS = (64, 128, 256, 512, 512)


def get(name: str, *, input_shape: tuple[int, int, int], classes: int) -> ModelSpec:
    """Read an architecture's name. Case does not matter, and `_` is read as `-`: WRN-40-2 and wrn_40_2 are one.

    Args:
        name: "convnet-16-32-64" (widths of its stages, 2×2 max-pooling between them), "resnet56", "resnet32x4" (depth,
            four times as wide), "wrn-40-2" (depth, width), "vgg8" or "vgg13".
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.

    Raises:
        ValueError: the name is none of these, or its depth does not divide into whole blocks.
    """
    canonical = name.lower().replace("_", "-")
    family, widths, blocks = _read_name(canonical, name)
    return ModelSpec(canonical, family, widths, blocks, tuple(input_shape), classes)


def _read_name(canonical: str, name: str) -> tuple[str, tuple[int, ...], int]:
    """Family, widths and blocks a stage."""
    if re.fullmatch(r"convnet(-[1-9]\d*)+", canonical):
        return "convnet", tuple(int(width) for width in canonical.split("-")[1:]), 1
    if match := re.fullmatch(r"resnet(\d+)(x4)?", canonical):
        return "resnet", _RESNET_WIDTHS[match[2] or ""], _blocks(name, int(match[1]), outside=2)
    if match := re.fullmatch(r"wrn-(\d+)-([1-9]\d*)", canonical):
        factor = int(match[2])
        return "wide_resnet", (16, 16 * factor, 32 * factor, 64 * factor), _blocks(name, int(match[1]), outside=4)
    if canonical in ("vgg8", "vgg13"):
        return "vgg", _VGG_WIDTHS, 1 if canonical == "vgg8" else 2
    raise ValueError(
        f"model={name!r} is not known; write one of {', '.join(CIFAR_NETWORKS)}, or convnet and its widths, e.g. convnet-16-32"
    )


def _blocks(name: str, depth: int, *, outside: int) -> int:
    """Blocks a stage: three stages of blocks of two convolutions, and layers outside of them."""
    blocks, rest = divmod(depth - outside, 6)
    if blocks < 1 or rest:
        raise ValueError(
            f"model={name!r} has depth {depth}, which is not 6·n + {outside}; "
            f"e.g. {6 + outside}, {18 + outside} or {54 + outside}"
        )
    return blocks


def parameters(spec: ModelSpec) -> dict[str, Parameter]:
    """Return every array of the model, trained or running statistic, by its PyTorch name."""
    return dict(FAMILIES[spec.family](spec))


def initial_weights(spec: ModelSpec, seed: int) -> dict[str, np.ndarray]:
    """Draw a model's initial weights, float64, the same for every backend, as the network's authors initialise it.

    Each array has a random stream of its own, counted from the seed and the array's name, so that no array depends on
    the others or on their order. Only the convnet family draws from one stream in order, since the recorded results of
    the digits started from there.
    """
    shared = np.random.RandomState(seed) if spec.family == "convnet" else None
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
    """Number of trained parameters (running statistics are not counted)."""
    return sum(math.prod(parameter.shape) for parameter in parameters(spec).values() if parameter.trained)
