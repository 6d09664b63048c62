"""PyTorch: `ab_divergence`, `ABKDLoss`, `train_student`."""

from backends.torch.divergences import ab_divergence
from backends.torch.objectives import ABKDLoss
from backends.torch.training import train_student

__all__ = ["ABKDLoss", "ab_divergence", "train_student"]
