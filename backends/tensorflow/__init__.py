"""The α-β-divergence, its training loss and student training in TensorFlow."""

from .divergences import ab_divergence
from .objectives import ABKDLoss, KerasABKDLoss, pack_targets
from .training.train import train_student

__all__ = ["ABKDLoss", "KerasABKDLoss", "ab_divergence", "pack_targets", "train_student"]
