"""PyTorch: `ab_divergence`, `ABKDLoss`, `train_student`."""

from .divergences import ab_divergence
from .objectives import ABKDLoss
from .training.train import train_student

__all__ = ["ABKDLoss", "ab_divergence", "train_student"]
