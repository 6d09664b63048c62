"""The α-β-divergence, its training loss and student training in TensorFlow."""

from backends.tensorflow.divergences import ab_divergence
from backends.tensorflow.objectives import ABKDLoss
from backends.tensorflow.training import train_student

__all__ = ["ABKDLoss", "ab_divergence", "train_student"]
