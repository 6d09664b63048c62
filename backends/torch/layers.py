"""Layers whose meaning the three backends share. PyTorch's own are the standard that the others follow."""

from torch import nn


def convolution(channels: int, width: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3×3 convolution padded by 1 on every side, also at stride 2."""
    return nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=bias)


def batch_norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation: momentum 0.1, epsilon 1e-5, unbiased variance in the running average."""
    return nn.BatchNorm2d(width, eps=1e-5, momentum=0.1)
