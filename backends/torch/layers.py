"""Layers whose meaning the three backends share. PyTorch's own are the standard that the others follow."""

import torch
from torch import nn


def convolution(channels: int, width: int, size: int = 3, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Convolution padded by size // 2 on every side, also at stride 2."""
    return nn.Conv2d(channels, width, size, stride=stride, padding=size // 2, bias=bias)


def batch_norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation: momentum 0.1, epsilon 1e-5, unbiased variance in the running average."""
    return nn.BatchNorm2d(width, eps=1e-5, momentum=0.1)


def spatial_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over height and width: `[batch, channels]`."""
    return x.mean((2, 3))
