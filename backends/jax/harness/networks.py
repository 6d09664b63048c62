"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from ..models import convolutional, weights
from ..training.train import predict as predict_logits
from ..training.train import train_student


def build_model(spec: ModelSpec, weights_by_name: Mapping[str, np.ndarray], dtype: str = "float32") -> nnx.Module:
    """Build a model and set its weights (PyTorch names and layouts)."""
    # shapes only: drawing flax's own initial weights would take longer than everything else
    model = nnx.eval_shape(lambda: convolutional.build_model(spec, dtype=jnp.dtype(dtype)))
    weights.load_weights(model, weights_by_name)
    return model


def export_weights(model: nnx.Module) -> dict[str, np.ndarray]:
    """Return the model's weights by PyTorch name, in PyTorch layouts."""
    return weights.export_weights(model)


def _parameter_type(model: nnx.Module) -> np.dtype:
    return np.dtype(jax.tree.leaves(nnx.state(model, nnx.Param))[0].dtype)


def predict(model: nnx.Module, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[n, classes]` in evaluation mode, float64, for images `[n, height, width, channels]`."""
    inputs = np.asarray(inputs, _parameter_type(model))
    return predict_logits(model, inputs, batch_size).astype(np.float64)


def training_logits(model: nnx.Module, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    logits = model(jnp.asarray(inputs, _parameter_type(model)))
    model.eval()
    return np.asarray(logits, np.float64)


def train(
    teacher: nnx.Module | None, student: nnx.Module, batches: Iterable, *, dtype: str = "float32", **arguments: Any
) -> TrainingResult:
    """`train_student` on NumPy batches (images `[n, height, width, channels]`, integer labels), computed in `dtype`."""

    def cast(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(inputs, dtype), np.asarray(labels)

    return train_student(teacher, student, ConvertedBatches(batches, cast), **arguments)
