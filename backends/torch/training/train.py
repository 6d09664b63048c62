"""Train a student against a teacher: for models and data loaders of the user's own, and for the harness itself."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...common.methods import Objective
from ...common.training import checkpoints
from ...common.training.batches import Batch, map_arrays
from ...common.training.optimizers import OPTIMIZERS, SGD, AdamW
from ...common.training.result import TrainingResult
from ...common.training.student import start_training, with_common_arguments
from ..losses.training_loss import operands, training_loss
from ..models.folding import folded
from .optimizers import build_optimizer, export_optimizer, restore_optimizer


@with_common_arguments
def train_student(
    teacher: nn.Module | None,
    student: nn.Module,
    batches: Iterable[Batch],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    hard_weight: float = 1.0,
    beside_weight: float | None = None,
    learning_rate: float | Callable[..., float] | None = None,
    optimizer: torch.optim.Optimizer | SGD | AdamW | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nn.Module, float], Mapping[str, Any] | None] | None = None,
    ask: Callable[..., Any] | None = None,
    precision: str = "float32",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    checkpoint_steps: int | None = None,
    fingerprint: str | None = None,
    **parameters: float,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs.

    Args:
        teacher: returns logits `[..., C]`; used in evaluation mode, without gradients. None for methods without one.
        student: the same outputs; trained in place.
        batches: (inputs, labels) pairs, gone through once an epoch; labels `[...]`, −100 leaves a row out. Arrays of
            NumPy are converted; everything is moved to the student's device. `common.training.batches` has more:
            batches with a part beside, and live ones, which are made with the student as it is.
        optimizer: instead of `learning_rate`, an optimizer over the student's parameters; or, with it, SGD or AdamW of
            `common.training.optimizers`.
        precision: "float32", which leaves types as they are, or "bfloat16" for autocast; losses stay float32.
    """
    return start_training(_Run, _ask, locals())


def _ask(student: nn.Module, teacher: nn.Module | None, inputs: torch.Tensor) -> torch.Tensor:
    return predict(student, inputs)


class _Run:
    """A training's state: the student's and the optimizer's own tensors."""

    def __init__(
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer | SGD | AdamW,
        precision: str,
    ) -> None:
        self._teacher, self._student, self._objective, self._precision = teacher, student, objective, precision
        described = isinstance(optimizer, OPTIMIZERS)
        self._optimizer = build_optimizer(optimizer, student.named_parameters()) if described else optimizer
        self._device = next(student.parameters()).device
        self._loss, self._operands = training_loss(objective), {}
        self._started = False
        self._learning, self._teaching = student, None
        if teacher is not None:  # what answers: the teacher in evaluation mode, as it is when training starts
            self._teaching = folded(teacher.eval()) if precision == "float32" else teacher.eval()
        if precision == "bfloat16":
            self._learning = _Autocast(student, self._device)
            self._teaching = None if teacher is None else _Autocast(self._teaching, self._device)

    def compiles(self, batch: Batch) -> bool:
        first, self._started = not self._started, True
        return first

    def step(self, batch: Batch, learning_rate: float | None, factor: float) -> torch.Tensor:
        batch = _to_device(batch, self._device)
        if learning_rate is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        if factor not in self._operands:
            self._operands = {factor: operands(self._objective, torch.float64, factor)}
        loss = self._loss(self._learning, self._teaching, batch, self._operands[factor])
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def read(self, losses: list[torch.Tensor]) -> list[float]:
        return torch.stack(losses).double().tolist()

    def begin(self) -> None:
        self._student.train()

    def settle(self) -> None:
        self._student.eval()

    def export(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {f"student/{name}": _to_array(value) for name, value in self._student.state_dict().items()}
        arrays["random/cpu"] = torch.get_rng_state().numpy()
        if self._device.type == "cuda":
            arrays["random/cuda"] = torch.cuda.get_rng_state(self._device).numpy()
        tensors, plain = export_optimizer(self._optimizer)
        arrays |= {f"optimizer/{name}": _to_array(value) for name, value in tensors.items()}
        narrow = [name for name, value in tensors.items() if value.dtype == torch.bfloat16]
        return arrays, {"optimizer": plain, "bfloat16": narrow}

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, value in self._student.state_dict().items():
                value.copy_(_to_tensor(arrays[f"student/{name}"], value.dtype))
        tensors = {
            name.removeprefix("optimizer/"): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith("optimizer/")
        }
        for name in plain["bfloat16"]:
            tensors[name] = tensors[name].view(torch.bfloat16)
        restore_optimizer(self._optimizer, tensors, plain["optimizer"])
        torch.set_rng_state(torch.from_numpy(arrays["random/cpu"].copy()))
        if "random/cuda" in arrays and self._device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(arrays["random/cuda"].copy()), self._device)

    def settings(self) -> dict[str, Any]:
        state = {} if self._teacher is None else self._teacher.state_dict()
        return {
            "optimizer": f"{type(self._optimizer).__name__} {_numbers(self._optimizer)}",
            "precision": self._precision,
            "student": {name: [str(v.dtype), *v.shape] for name, v in self._student.state_dict().items()},
            "teacher": checkpoints.digest({name: _to_array(value) for name, value in state.items()}),
        }

    def surroundings(self) -> dict[str, str]:
        device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        return {"framework": f"torch {torch.__version__}", "device": device, "threads": str(torch.get_num_threads())}


class _Autocast:
    """A network that computes in bfloat16 where that is safe; losses of its outputs stay outside."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model, self._device = model, device

    def __call__(self, inputs: Any) -> torch.Tensor:
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            return self._model(inputs)

    def heads(self, inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            return self._model.heads(inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _numbers(optimizer: torch.optim.Optimizer) -> str:
    """The optimizer's settings but for the learning rate, which changes as it goes."""
    return str({name: value for name, value in sorted(optimizer.defaults.items()) if name != "lr"})


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy of the tensor's values; bfloat16, which NumPy lacks, as the 16-bit integers of the same bytes."""
    tensor = tensor.detach().cpu()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def _to_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(array.copy())
    return tensor.view(dtype) if dtype == torch.bfloat16 else tensor


def _to_device(structure: Any, device: torch.device) -> Any:
    """Tensors and NumPy arrays, also inside tuples, lists and dicts, on the device."""

    def moved(value: Any) -> Any:
        value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value

    return map_arrays(moved, structure)


@torch.no_grad()
def predict(model: nn.Module, inputs: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Logits `[rows, classes]` of a model in evaluation mode, batch by batch; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    parts = [model(inputs[i : i + batch_size].to(device)) for i in range(0, len(inputs), batch_size)]
    model.train(training)
    return torch.cat(parts)
