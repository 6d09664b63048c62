"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from ..models import convolutional, weights
from ..training.train import predict as predict_logits
from ..training.train import train_student
from .device import current_device, to_numpy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> keras.Model:
    """Build a network on the device with the given weights."""
    with tf.device(current_device()):
        model = convolutional.build_model(spec, dtype=dtype)
        weights.load_weights(model, arrays)
    return model


export_weights = weights.export_weights


def predict(model: keras.Model, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` of NHWC images in evaluation mode, as float64."""
    images = np.asarray(inputs, keras.backend.standardize_dtype(model.input.dtype))
    with tf.device(current_device()):
        return to_numpy(predict_logits(model, images, batch_size))


def training_logits(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    images = np.asarray(inputs, keras.backend.standardize_dtype(model.input.dtype))
    with tf.device(current_device()):
        return to_numpy(model(images, training=True))


def train(
    teacher: keras.Model | None,
    student: keras.Model,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    dtype: str = "float32",
    **arguments: Any,
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels); `arguments` are passed on."""
    image_type = keras.backend.standardize_dtype(student.input.dtype)

    def typed(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(inputs, image_type), np.asarray(labels, np.int32)

    with tf.device(current_device()):
        return train_student(teacher, student, ConvertedBatches(batches, typed), **arguments)
