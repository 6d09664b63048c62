"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from ..models import convolutional, weights
from ..training.train import predict as predict_logits
from ..training.train import train_student
from .device import DTYPES, current_device, to_numpy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> nn.Module:
    """Build a network on the device with the given weights, in evaluation mode."""
    model = convolutional.build_model(spec).to(current_device(), DTYPES[dtype], memory_format=torch.channels_last)
    weights.load_weights(model, arrays)
    return model.eval()


export_weights = weights.export_weights


def _images(inputs: np.ndarray, like: nn.Module) -> torch.Tensor:
    """NHWC images as PyTorch's `[batch, channels, height, width]`, in memory as they were (channels last)."""
    tensor = torch.from_numpy(np.ascontiguousarray(inputs)).to(current_device(), next(like.parameters()).dtype)
    return tensor.permute(0, 3, 1, 2)


def predict(model: nn.Module, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` of NHWC images in evaluation mode, as float64."""
    return to_numpy(predict_logits(model, _images(inputs, model), batch_size))


def training_logits(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    with torch.no_grad():
        logits = model(_images(inputs, model))
    model.eval()
    return to_numpy(logits)


def train(
    teacher: nn.Module | None,
    student: nn.Module,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    dtype: str = "float32",
    **arguments: Any,
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels); `arguments` are passed on."""

    def tensors(inputs: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return _images(inputs, student), torch.from_numpy(np.asarray(labels)).to(current_device(), torch.long)

    return train_student(teacher, student, ConvertedBatches(batches, tensors), **arguments)
