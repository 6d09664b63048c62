"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...common.networks import ModelSpec
from ...common.training.batches import Batch, ConvertedBatches, map_arrays
from ...common.training.loop import check_dtype
from ...common.training.result import TrainingResult
from .. import models
from ..models import weights
from ..training.train import predict as predict_logits
from ..training.train import train_student


def build_model(spec: ModelSpec, arrays: Mapping[str, np.ndarray], dtype: str) -> nnx.Module:
    """Build a model and set its weights (PyTorch names and layouts)."""
    # shapes only: drawing flax's own initial weights would take longer than everything else
    model = nnx.eval_shape(lambda: models.build_model(spec, dtype=jnp.dtype(dtype)))
    weights.load_weights(model, arrays)
    return model


export_weights = weights.export_weights


def _parameter_type(model: nnx.Module) -> np.dtype:
    return np.dtype(jax.tree.leaves(nnx.state(model, nnx.Param))[0].dtype)


def _inputs(inputs: Any, like: nnx.Module) -> Any:
    """A network's inputs: integers as they are, other arrays in its type."""
    dtype = _parameter_type(like)

    def typed(array: np.ndarray) -> np.ndarray:
        return np.asarray(array, dtype if np.asarray(array).dtype.kind == "f" else None)

    return map_arrays(typed, inputs)


def predict(model: nnx.Module, inputs: Any, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` in evaluation mode, float64, for images `[rows, height, width, channels]`."""
    return predict_logits(model, _inputs(inputs, model), batch_size).astype(np.float64)


def training_logits(model: nnx.Module, inputs: Any) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    logits = model(jax.tree.map(jnp.asarray, _inputs(inputs, model)))
    model.eval()
    return np.asarray(logits, np.float64)


def train(
    teacher: nnx.Module | None, student: nnx.Module, batches: Iterable[Batch], *, dtype: str | None = None, **arguments: Any
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels).

    Args:
        teacher, student, batches: as `train_student` takes them; live batches ask by NumPy arrays, too.
        dtype: of the student's parameters, which is checked.
        **arguments: passed on.
    """
    check_dtype(dtype, _parameter_type(student).name)

    def converted(inputs: Any, targets: Any) -> tuple[Any, Any]:
        return _inputs(inputs, student), _inputs(targets, student)

    arguments.setdefault("ask", _ask)
    return train_student(teacher, student, ConvertedBatches(batches, converted), **arguments)


def _ask(student: nnx.Module, teacher: nnx.Module | None, inputs: Any) -> np.ndarray:
    return predict(student, inputs)
