"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...common.networks import ModelSpec
from ...common.training.batches import Batch, ConvertedBatches, map_arrays
from ...common.training.loop import check_dtype
from ...common.training.result import TrainingResult
from .. import models
from ..models import weights
from ..training.train import predict as predict_logits
from ..training.train import train_student
from .device import current_device, to_numpy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> keras.Model:
    """Build a network on the device with the given weights."""
    with tf.device(current_device()):
        model = models.build_model(spec, dtype=dtype)
        weights.load_weights(model, arrays)
    return model


export_weights = weights.export_weights


def _parameter_type(model: keras.Model) -> str:
    return keras.backend.standardize_dtype(model.variables[0].dtype)


def _inputs(inputs: Any, like: keras.Model) -> Any:
    """A network's inputs: integers as they are, other arrays in its type."""
    dtype = _parameter_type(like)

    def typed(array: np.ndarray) -> np.ndarray:
        return np.asarray(array, dtype if np.asarray(array).dtype.kind == "f" else None)

    return map_arrays(typed, inputs)


def predict(model: keras.Model, inputs: Any, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` in evaluation mode, float64, for images `[rows, height, width, channels]`."""
    with tf.device(current_device()):
        return to_numpy(predict_logits(model, _inputs(inputs, model), batch_size))


def training_logits(model: keras.Model, inputs: Any) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    with tf.device(current_device()):
        return to_numpy(model(_inputs(inputs, model), training=True))


def train(
    teacher: keras.Model | None, student: keras.Model, batches: Iterable[Batch], *, dtype: str | None = None, **arguments: Any
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels).

    Args:
        teacher, student, batches: as `train_student` takes them; live batches ask by NumPy arrays, too.
        dtype: of the student's parameters, which is checked.
        **arguments: passed on.
    """
    check_dtype(dtype, _parameter_type(student))

    def target(array: np.ndarray) -> np.ndarray:
        return _inputs(array, student) if np.asarray(array).dtype.kind == "f" else np.asarray(array, np.int32)

    def converted(inputs: Any, targets: Any) -> tuple[Any, Any]:
        return _inputs(inputs, student), map_arrays(target, targets)

    arguments.setdefault("ask", _ask)
    with tf.device(current_device()):
        return train_student(teacher, student, ConvertedBatches(batches, converted), **arguments)


def _ask(student: keras.Model, teacher: keras.Model | None, inputs: Any) -> np.ndarray:
    return predict(student, inputs)
