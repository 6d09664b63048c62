"""The α-β-divergence, its training loss and student training in TensorFlow."""

from .divergences import ab_divergence
from .objectives import ABKDLoss
from .training.train import train_student

__all__ = ["ABKDLoss", "ab_divergence", "train_student"]
