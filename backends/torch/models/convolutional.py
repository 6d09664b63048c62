"""Networks of `common.networks.convolutional` as PyTorch modules; images are `[batch, channels, height, width]`.

Modules are named as in the published checkpoints (camel case included), so that these load by name. ReLU works in
place: its input is never needed again, and memory traffic is what such small networks spend their time on.
"""

import torch
from torch import nn
from torch.nn import functional

from ...common.networks.convolutional import ConvolutionalSpec, ResidualBlock, residual_blocks
from .layers import BatchNorm, convolution, spatial_mean


class Stage(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = convolution(channels, width)
        self.bn = BatchNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of the same height and width."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class ConvNet(nn.Module):
    """Stages of convolution, batch normalisation, ReLU with 2×2 max-pooling between them; mean over space, linear."""

    def __init__(self, spec: ConvolutionalSpec) -> None:
        super().__init__()
        channels = (spec.input_shape[2], *spec.widths)
        self.stages = nn.ModuleList(Stage(a, b) for a, b in zip(channels, spec.widths, strict=False))
        self.linear = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if i else x)
        return self.linear(spatial_mean(x))


class BasicBlock(nn.Module):
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
        """Activations, at stride 2 of half the height and width."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return functional.relu(out, inplace=True)


class ResNet(nn.Module):
    """CIFAR ResNet: a convolution, three stages of basic blocks, mean over space, linear."""

    def __init__(self, spec: ConvolutionalSpec) -> None:
        super().__init__()
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0])
        self.bn1 = BatchNorm(spec.widths[0])
        self.layer1, self.layer2, self.layer3 = _stages(spec, BasicBlock)
        self.fc = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(spatial_mean(x))


class PreActivationBlock(nn.Module):
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
        """Activations, at stride 2 of half the height and width."""
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

    def __init__(self, spec: ConvolutionalSpec) -> None:
        super().__init__()
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0])
        self.block1, self.block2, self.block3 = map(_WideStage, _stages(spec, PreActivationBlock))
        self.bn1 = BatchNorm(spec.widths[-1])
        self.fc = nn.Linear(spec.widths[-1], spec.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(spatial_mean(functional.relu(self.bn1(x), inplace=True)))


def _stages(spec: ConvolutionalSpec, module: type[nn.Module]) -> list[nn.Sequential]:
    """The blocks of a residual network, stage by stage."""
    blocks = residual_blocks(spec)
    return [
        nn.Sequential(*(module(block) for block in blocks if block.stage == stage)) for stage in range(len(spec.widths) - 1)
    ]


class VGG(nn.Module):
    """Stages of convolution with bias, batch normalisation and ReLU; mean over space, linear.

    2×2 max-pooling follows each stage but the last two: the fourth pooling is for images of 64 pixels.
    """

    def __init__(self, spec: ConvolutionalSpec) -> None:
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
