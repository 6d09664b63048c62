"""Convolutional networks as plain data: the four families, how their names are read, and which parameters they have.

The networks for CIFAR carry the names of the widely used CRD/RepDistiller checkpoints.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .specification import Family, ModelSpec, Parameter, Parameters


@dataclass(frozen=True)
class ConvolutionalSpec(ModelSpec):
    """One convolutional network.

    Attributes:
        widths: channels of each stage; in residual networks the first entry is the stem's.
        blocks: convolutions (convnet, vgg) or residual blocks of two convolutions in each stage.
        input_shape: (height, width, channels) of an image.
        classes: number of outputs.
    """

    widths: tuple[int, ...]
    blocks: int
    input_shape: tuple[int, int, int]
    classes: int

    @property
    def description(self) -> str:
        """The network with its images and its number of classes."""
        height, width, channels = self.input_shape
        return f"{self.name} (images of {height}×{width}×{channels}, {self.classes} classes)"


def _convolution(prefix: str, channels: int, width: int, size: int = 3, *, bias: bool = False) -> Parameters:
    """Normal with variance 2 / (out · height · width): He et al., 2015, "fan-out"."""
    yield (
        f"{prefix}.weight",
        Parameter((width, channels, size, size), "normal", math.sqrt(2 / (width * size * size)), layout="convolution"),
    )
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
    yield f"{prefix}.weight", Parameter((classes, channels), "uniform", bound, layout="linear")
    yield f"{prefix}.bias", Parameter((classes,), *(("constant", 0.0) if zero_bias else ("uniform", bound)))


def _convnet_parameters(spec: ConvolutionalSpec) -> Parameters:
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


def residual_blocks(spec: ConvolutionalSpec) -> list[ResidualBlock]:
    """The blocks of a residual network in order; every stage but the first begins with stride 2."""
    blocks, channels = [], spec.widths[0]
    for stage, width in enumerate(spec.widths[1:]):
        for number in range(spec.blocks):
            blocks.append(ResidualBlock(stage, number, channels, width, 2 if stage > 0 and number == 0 else 1))
            channels = width
    return blocks


def _resnet_parameters(spec: ConvolutionalSpec) -> Parameters:
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


def _wide_resnet_parameters(spec: ConvolutionalSpec) -> Parameters:
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


def _vgg_parameters(spec: ConvolutionalSpec) -> Parameters:
    """Simonyan & Zisserman, 2015, with batch normalisation and one linear layer; a unit counts as three modules."""
    channels = spec.input_shape[2]
    for stage, width in enumerate(spec.widths):
        for number in range(spec.blocks):
            yield from _convolution(f"block{stage}.{3 * number}", channels, width, bias=True)
            yield from _batch_norm(f"block{stage}.{3 * number + 1}", width)
            channels = width
    yield "classifier.weight", Parameter((spec.classes, channels), "normal", 0.01, layout="linear")
    yield "classifier.bias", Parameter((spec.classes,), "constant", 0.0)


# the networks of the paper's pairs on CIFAR-100
CIFAR_NETWORKS = (
    *("resnet8x4", "resnet20", "resnet32", "resnet32x4", "resnet44", "resnet56", "resnet110"),
    *("wrn-16-2", "wrn-40-1", "wrn-40-2", "vgg8", "vgg13"),
)
_RESNET_WIDTHS = {"": (16, 16, 32, 64), "x4": (32, 64, 128, 256)}
_VGG_WIDTHS = (64, 128, 256, 512, 512)


def _read_convnet(name: str, facts: Mapping[str, Any]) -> ConvolutionalSpec | None:
    if not re.fullmatch(r"convnet(-[1-9]\d*)+", name):
        return None
    return _spec(name, "convnet", tuple(int(width) for width in name.split("-")[1:]), 1, facts)


def _read_resnet(name: str, facts: Mapping[str, Any]) -> ConvolutionalSpec | None:
    match = re.fullmatch(r"resnet(\d+)(x4)?", name)
    if match is None:
        return None
    return _spec(name, "resnet", _RESNET_WIDTHS[match[2] or ""], _blocks(name, int(match[1]), outside=2), facts)


def _read_wide_resnet(name: str, facts: Mapping[str, Any]) -> ConvolutionalSpec | None:
    match = re.fullmatch(r"wrn-(\d+)-([1-9]\d*)", name)
    if match is None:
        return None
    factor, blocks = int(match[2]), _blocks(name, int(match[1]), outside=4)
    return _spec(name, "wide_resnet", (16, 16 * factor, 32 * factor, 64 * factor), blocks, facts)


def _read_vgg(name: str, facts: Mapping[str, Any]) -> ConvolutionalSpec | None:
    blocks = {"vgg8": 1, "vgg13": 2}.get(name)
    return None if blocks is None else _spec(name, "vgg", _VGG_WIDTHS, blocks, facts)


def _spec(name: str, family: str, widths: tuple[int, ...], blocks: int, facts: Mapping[str, Any]) -> ConvolutionalSpec:
    missing = [fact for fact in ("input_shape", "classes") if fact not in facts]
    if missing:
        raise ValueError(
            f"model={name!r} classifies images and needs {' and '.join(missing)}; the data set tells "
            f"{', '.join(facts) or 'nothing'}"
        )
    return ConvolutionalSpec(name, family, widths, blocks, tuple(facts["input_shape"]), facts["classes"])


def _blocks(name: str, depth: int, *, outside: int) -> int:
    """Blocks a stage: three stages of blocks of two convolutions, and layers outside of them."""
    blocks, rest = divmod(depth - outside, 6)
    if blocks < 1 or rest:
        raise ValueError(
            f"model={name!r} has depth {depth}, which is not 6·n + {outside}; "
            f"e.g. {6 + outside}, {18 + outside} or {54 + outside}"
        )
    return blocks


def _spelling(prefix: str) -> str:
    return ", ".join(name for name in CIFAR_NETWORKS if name.startswith(prefix))


FAMILIES = {
    "resnet": Family(_read_resnet, _resnet_parameters, _spelling("resnet")),
    "wide_resnet": Family(_read_wide_resnet, _wide_resnet_parameters, _spelling("wrn")),
    "vgg": Family(_read_vgg, _vgg_parameters, _spelling("vgg")),
    # the recorded results of the digits started from weights that were drawn in order
    "convnet": Family(_read_convnet, _convnet_parameters, "convnet and its widths, e.g. convnet-16-32", one_stream=True),
}
