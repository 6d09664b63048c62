"""Networks of `backends.common.networks.convolutional` as PyTorch modules; images are `[batch, channels, height, width]`.

Modules are named as in the published checkpoints (camel case included), so that these load by name. ReLU works in
place: its input is never needed again, and memory traffic is what such small networks spend their time on.
"""

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...common.networks.convolutional import ModelSpec, ResidualBlock, residual_blocks
from .layers import BatchNorm, convolution, spatial_mean


class _Stage(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = convolution(channels, width)
        self.bn = BatchNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class ConvNet(nn.Module):
    """Stages of convolution, batch normalisation, ReLU with 2×2 max-pooling between them; mean over space, linear."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        channels = (spec.input_shape[2], *spec.widths)
        self.stages = nn.ModuleList(_Stage(a, b) for a, b in zip(channels, spec.widths, strict=False))
        self.linear = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if i else x)
        return self.linear(spatial_mean(x))


class _BasicBlock(nn.Module):
    """Two convolutions, each normalised; the shortcut joins before the last ReLU."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.conv1 = convolution(block.channels, block.width, stride=block.stride)
        self.bn1 = BatchNorm(block.width)
        self.conv2 = convolution(block.width, block.width)
        self.bn2 = BatchNorm(block.width)
        self.downsample = None
        if block.changes_shape:
            shortcut = convolution(block.channels, block.width, 1, stride=block.stride)
            self.downsample = nn.Sequential(shortcut, BatchNorm(block.width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return functional.relu(out, inplace=True)


class ResNet(nn.Module):
    """CIFAR ResNet: a convolution, three stages of basic blocks, mean over space, linear."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0])
        self.bn1 = BatchNorm(spec.widths[0])
        self.layer1, self.layer2, self.layer3 = _stages(spec, _BasicBlock)
        self.fc = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(spatial_mean(x))


class _PreActivationBlock(nn.Module):
    """Normalisation and ReLU before each convolution.

    Where the shape changes, the shortcut's convolution takes the activated input; otherwise the shortcut is the input.
    """

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.bn1 = BatchNorm(block.channels)
        self.conv1 = convolution(block.channels, block.width, stride=block.stride)
        self.bn2 = BatchNorm(block.width)
        self.conv2 = convolution(block.width, block.width)
        self.convShortcut = None
        if block.changes_shape:
            self.convShortcut = convolution(block.channels, block.width, 1, stride=block.stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(self.bn1(x), inplace=True)
        out = functional.relu(self.bn2(self.conv1(active)), inplace=True)
        return self.conv2(out) + (x if self.convShortcut is None else self.convShortcut(active))


class _WideStage(nn.Module):
    def __init__(self, blocks: nn.Sequential) -> None:
        super().__init__()
        self.layer = blocks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """A convolution, three stages of pre-activation blocks, normalisation, ReLU, mean over space, linear."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0])
        self.block1, self.block2, self.block3 = map(_WideStage, _stages(spec, _PreActivationBlock))
        self.bn1 = BatchNorm(spec.widths[-1])
        self.fc = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(spatial_mean(functional.relu(self.bn1(x), inplace=True)))


def _stages(spec: ModelSpec, module: type[nn.Module]) -> list[nn.Sequential]:
    """The blocks of a residual network, stage by stage."""
    blocks = residual_blocks(spec)
    return [
        nn.Sequential(*(module(block) for block in blocks if block.stage == stage)) for stage in range(len(spec.widths) - 1)
    ]


class VGG(nn.Module):
    """Stages of convolution with bias, batch normalisation and ReLU; mean over space, linear.

    2×2 max-pooling follows each stage but the last two: the fourth pooling is for images of 64 pixels.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        channels, self._pooled = spec.input_shape[2], len(spec.widths) - 2
        for stage, width in enumerate(spec.widths):
            units = []
            for _ in range(spec.blocks):
                units += [convolution(channels, width, bias=True), BatchNorm(width), nn.ReLU(inplace=True)]
                channels = width
            self.add_module(f"block{stage}", nn.Sequential(*units))
        self.classifier = nn.Linear(channels, spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate((self.block0, self.block1, self.block2, self.block3, self.block4)):
            x = stage(x)
            if i < self._pooled:
                x = functional.max_pool2d(x, 2)
        return self.classifier(spatial_mean(x))


FAMILIES = {"convnet": ConvNet, "resnet": ResNet, "wide_resnet": WideResNet, "vgg": VGG}


def build_model(spec: ModelSpec) -> nn.Module:
    """Build a network with PyTorch's own initial weights; `weights.load_weights` puts shared ones in."""
    return FAMILIES[spec.family](spec)


# convolutions whose output goes into a normalisation and nowhere else
_FOLDABLE: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    _Stage: (("conv", "bn"),),
    _BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    ResNet: (("conv1", "bn1"),),
    _PreActivationBlock: (("conv1", "bn2"),),
}


def folded(model: nn.Module) -> nn.Module:
    """A copy of a network of this module for evaluation, normalisation multiplied into the convolutions before it.

    Its logits are the same but for rounding, in seven eighths of the time. Other models are returned as they are.
    """
    if type(model) not in FAMILIES.values():
        return model
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        for first, second in _FOLDABLE.get(type(module), _consecutive(module)):
            fused = fuse_conv_bn_eval(module.get_submodule(first), module.get_submodule(second))
            module.register_module(first, fused)
            module.register_module(second, nn.Identity())
    return model


def _consecutive(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """Names of a convolution and the normalisation behind it in a sequence of layers."""
    layers = list(module.named_children()) if isinstance(module, nn.Sequential) else []
    return tuple(
        (first, second)
        for (first, conv), (second, norm) in zip(layers, layers[1:], strict=False)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNorm)
    )
