"""Layers whose meaning the three backends share. PyTorch's own are the standard that the others follow."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_CHUNK = 2**17  # elements that moments are taken of at a time: they stay in a core's cache between the passes
_RUN = 64  # rows added up by plain float32 sums before their sums are added up


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
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-5, momentum=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `[batch, channels, height, width]`."""
        if not (self.training and _is_imprecise(x)):
            return super().forward(x)
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; in training, batch normalisation needs two values a channel"
            )
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
    """Mean and biased variance of each channel of a channels-last batch, summed in runs."""
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)
    count, channels = rows.shape
    mean = _column_sums(rows) / count
    step = max(_RUN, _CHUNK // channels // _RUN * _RUN)
    squares = [_column_sums((part - mean).square_()) for part in rows.split(step)]
    return mean, torch.stack(squares).sum(0) / count


def _column_sums(rows: torch.Tensor) -> torch.Tensor:
    whole = len(rows) // _RUN * _RUN
    total = rows[:whole].view(-1, _RUN, rows.shape[1]).sum(1).sum(0)
    return total if whole == len(rows) else total + rows[whole:].sum(0)


def spatial_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over height and width: `[batch, channels]`."""
    return x.mean((2, 3))
