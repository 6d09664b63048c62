"""NumPy in, NumPy out: what the suites ask of this backend, the same names in every backend."""

from .device import NAME, describe, peak_memory_bytes, set_up
from .losses import named_objective_and_gradient, objective_and_gradient, prepare_call, prepare_copy, value_and_gradient
from .networks import build_model, export_weights, predict, train, training_logits

__all__ = [
    "NAME",
    "build_model",
    "describe",
    "export_weights",
    "named_objective_and_gradient",
    "objective_and_gradient",
    "peak_memory_bytes",
    "predict",
    "prepare_call",
    "prepare_copy",
    "set_up",
    "train",
    "training_logits",
    "value_and_gradient",
]
