"""Networks for the suites: built, run, trained and exported, NumPy arrays in and out."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...common.networks import ModelSpec
from ...common.training.batches import Batch, ConvertedBatches, map_arrays
from ...common.training.loop import check_dtype
from ...common.training.result import TrainingResult
from .. import models
from ..models import weights
from ..training.train import predict as predict_logits
from ..training.train import train_student
from .device import DTYPES, current_device, to_numpy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> nn.Module:
    """Build a network on the device with the given weights, in evaluation mode."""
    model = models.build_model(spec).to(current_device(), DTYPES[dtype], memory_format=torch.channels_last)
    weights.load_weights(model, arrays)
    return model.eval()


export_weights = weights.export_weights


def _inputs(inputs: Any, like: nn.Module) -> Any:
    """A network's inputs on its device: integers as they are, other arrays in its type.

    NHWC images become PyTorch's `[batch, channels, height, width]`, in memory as they were (channels last).
    """

    def tensor(array: np.ndarray) -> torch.Tensor:
        converted = _tensor(array, like)
        return converted.permute(0, 3, 1, 2) if converted.ndim == 4 else converted

    return map_arrays(tensor, inputs)


def _tensor(array: np.ndarray, like: nn.Module) -> torch.Tensor:
    dtype = next(like.parameters()).dtype if np.asarray(array).dtype.kind == "f" else torch.long
    return torch.from_numpy(np.ascontiguousarray(array)).to(current_device(), dtype)


def predict(model: nn.Module, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` of NHWC images in evaluation mode, as float64."""
    return to_numpy(predict_logits(model, _inputs(inputs, model), batch_size))


def training_logits(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    with torch.no_grad():
        logits = model(_inputs(inputs, model))
    model.eval()
    return to_numpy(logits)


def train(
    teacher: nn.Module | None, student: nn.Module, batches: Iterable[Batch], *, dtype: str | None = None, **arguments: Any
) -> TrainingResult:
    """`train_student` on batches of NumPy arrays (NHWC images, integer labels).

    Args:
        teacher, student, batches: as `train_student` takes them; live batches ask by NumPy arrays, too.
        dtype: of the student's parameters, which is checked.
        **arguments: passed on.
    """
    check_dtype(dtype, str(next(student.parameters()).dtype).removeprefix("torch."))

    def converted(inputs: Any, targets: Any) -> tuple[Any, Any]:
        return _inputs(inputs, student), map_arrays(lambda array: _tensor(array, student), targets)

    arguments.setdefault("ask", _ask)
    return train_student(teacher, student, ConvertedBatches(batches, converted), **arguments)


def _ask(student: nn.Module, teacher: nn.Module | None, inputs: Any) -> np.ndarray:
    return predict(student, inputs)
