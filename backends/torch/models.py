"""Networks of `backends.architectures` as PyTorch modules; images are `[batch, channels, height, width]`."""

import torch
from torch import nn
from torch.nn import functional

from backends.architectures import ModelSpec
from backends.torch.layers import batch_norm, convolution


class _Stage(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = convolution(channels, width)
        self.bn = batch_norm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


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
        return self.linear(x.mean((2, 3)))


FAMILIES = {"convnet": ConvNet}


def build_model(spec: ModelSpec) -> nn.Module:
    """Build a network with PyTorch's own initial weights; `weights.load_weights` puts shared ones in."""
    return FAMILIES[spec.family](spec)
