"""Layers whose meaning the three backends share. PyTorch's own are the standard that the others follow."""

import functools
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_WIDTH = 2048  # numbers that moments are taken of side by side: a few kilobytes, so that running sums stay in the cache


def convolution(channels: int, width: int, size: int = 3, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Convolution padded by size // 2 on every side, also at stride 2."""
    return nn.Conv2d(channels, width, size, stride=stride, padding=size // 2, bias=bias)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation: momentum 0.1, epsilon 1e-5, unbiased variance in the running average.

    On a CPU, PyTorch 2.13 adds up float32 batches in channels-last order with plain sums: variances of 64 images of 32×32
    are 1e-5 off, a hundred times what contiguous batches lose, and 110 layers make 5e-5 of it. Those batches' moments
    are taken here; every other case is PyTorch's own.

    Args:
        width: number of channels.

    Attributes:
        frozen: whether training too uses the running statistics, which then stay as they are.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-5, momentum=0.1)
        self.frozen = False

    def train(self, mode: bool = True) -> "BatchNorm":
        """Set the mode; a frozen layer stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `[batch, channels, height, width]`."""
        if not (self.training and _is_imprecise(x)):
            return super().forward(x)
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}; in training, batch normalisation needs two values a channel")
        out, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return out


def _is_imprecise(x: torch.Tensor) -> bool:
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and not x.is_contiguous()
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
    )


class _Normalise(torch.autograd.Function):
    """PyTorch's kernels around moments of our own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> tuple:
        mean, variance = _moments(x)
        out = torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt_())
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, *_: Any) -> tuple:
        x, weight, mean, inverse_deviation = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradients = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, inverse_deviation, True, ctx.eps, [True, True, True]
        )
        return *gradients, None


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of each channel of a channels-last batch.

    PyTorch's kernel takes the moments of `groups` rows side by side, as if they were channels of their own: its plain
    sums are then short, and its inner loops long.
    """
    channels = x.shape[1]
    groups, height = _grouping(x.numel() // channels, channels)
    rows = x.permute(0, 2, 3, 1).reshape(-1, height, 1, groups * channels)
    means, variances = torch.ops.aten.batch_norm_update_stats(rows.permute(0, 3, 1, 2), None, None, 0.0)
    means, variances = means.view(groups, channels), variances.view(groups, channels)
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square_().mean(0)


@functools.cache
def _grouping(count: int, channels: int) -> tuple[int, int]:
    """How many of `count` rows lie side by side, and a height that tells the layout from a contiguous one.

    An odd number of rows is left to the kernel for contiguous batches, which adds up in float64.
    """
    if count % 2:
        return 1, 1
    most = max(1, _WIDTH // channels)
    return next(groups for groups in range(most, 0, -1) if count // 2 % groups == 0), 2


def spatial_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over height and width: `[batch, channels]`."""
    return x.mean((2, 3))
