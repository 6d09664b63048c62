"""Train a student against a teacher: for models and data loaders of the user's own, and for the harness itself."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...common.methods import Objective, resolve
from ...common.training import checkpoints, loop
from ...common.training.batches import rate_schedule
from ...common.training.loop import Plan, check_precision, check_teacher
from ...common.training.result import TrainingResult
from ..losses.training_loss import training_loss
from ..models.convolutional import folded
from .optimizers import export_optimizer, restore_optimizer, sgd


def train_student(
    teacher: nn.Module | None,
    student: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    hard_weight: float = 1.0,
    learning_rate: float | Callable[[int], float] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nn.Module, float], Mapping[str, Any] | None] | None = None,
    precision: str = "float32",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    checkpoint_steps: int | None = None,
    fingerprint: str | None = None,
    **parameters: float,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs.

    Args:
        teacher: returns logits `[..., C]`; used in evaluation mode, without gradients. None for method "sft".
        student: the same outputs; trained in place.
        batches: (inputs, labels) pairs, gone through once an epoch; labels `[...]`, −100 leaves a row out. Arrays of
            NumPy are converted; everything is moved to the student's device.
        method: a name in `backends.common.methods.METHODS`, such as "abkd", "kd", "dkd" or "sft"; whether it has a factor
            temperature² is said there.
        alpha, beta, temperature, distill_weight, hard_weight: the method's parameters (`backends.common.methods.resolve`);
            None takes the method's own. "abkd" needs alpha and beta.
        learning_rate: for SGD with `momentum` and `weight_decay`; a number, or a function of the step.
        optimizer: instead of `learning_rate`, an optimizer over the student's parameters.
        momentum, weight_decay: of that SGD; not used with `optimizer`.
        epochs: passes over `batches`.
        progress: show a bar with the loss and the time left.
        on_epoch: called after each epoch with (epoch, student, mean loss); a mapping of plain data that it returns is
            kept in the result's `epoch_metrics` and in checkpoints.
        precision: "float32", which leaves types as they are, or "bfloat16" for autocast; losses stay float32.
        checkpoint: file to keep the training's state in, and to go on from where it exists: then the result is bit for
            bit that of an uninterrupted run, given the same threads and device
            (`backends.common.training.checkpoints`), and batches that are the same for the same epoch: a list, or an
            object with a method `epoch(epoch, start)`.
        checkpoint_every: epochs between two checkpoints.
        checkpoint_steps: steps between two further ones within an epoch; batches must then know their epochs.
        fingerprint: digest of what only the caller knows to decide the result (data, seed), checked on resuming.
        parameters: further ones of the method, e.g. gamma of "ttm", non_target_weight and warm_up_epochs of "dkd".

    Returns:
        The trained student, in evaluation mode, with losses and times; status "diverged" where a loss was not finite.

    Raises:
        ValueError: unknown method, bad parameters, both or neither of learning_rate and optimizer, batches that cannot
            be gone through `epochs` times or are empty, a checkpoint that does not belong here.

    Source: Eq. 7 of Wang et al., "ABKD", ICML 2025, and the methods' own.
    """
    objective = resolve(
        method,
        alpha=alpha,
        beta=beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
        **parameters,
    )
    plan = Plan(
        objective,
        batches,
        rate_schedule(learning_rate, optimizer),
        epochs,
        progress,
        on_epoch,
        checkpoint,
        checkpoint_every,
        checkpoint_steps,
        fingerprint,
    )
    optimizer = optimizer or sgd(student.parameters(), momentum=momentum, weight_decay=weight_decay)
    run = _Run(check_teacher(objective, teacher), student, objective, optimizer, check_precision(precision))
    return loop.train(run, student, plan)


class _Run:
    """A training's state: the student's and the optimizer's own tensors."""

    def __init__(
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        precision: str,
    ) -> None:
        self._teacher, self._student, self._optimizer, self._precision = teacher, student, optimizer, precision
        self._device = next(student.parameters()).device
        self._loss = training_loss(objective)
        self._started = False
        self._teaching = None  # what answers: the teacher in evaluation mode, as it is when training starts
        if teacher is not None:
            self._teaching = folded(teacher.eval()) if precision == "float32" else teacher.eval()

    def compiles(self, inputs: Any, labels: Any) -> bool:
        first, self._started = not self._started, True
        return first

    def step(self, inputs: Any, labels: Any, learning_rate: float | None, factor: float) -> torch.Tensor:
        inputs, labels = _to_device(inputs, self._device), _to_device(labels, self._device)
        if learning_rate is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        teacher_logits = None
        with self._autocast():
            if self._teaching is not None:
                with torch.inference_mode():
                    teacher_logits = self._teaching(inputs)
            student_logits = self._student(inputs)
        loss = self._loss(student_logits, teacher_logits, labels, factor)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _autocast(self) -> AbstractContextManager:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def read(self, losses: list[torch.Tensor]) -> list[float]:
        return torch.stack(losses).double().tolist()

    def begin_epoch(self) -> None:
        self._student.train()

    def end_epoch(self) -> None:
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


def _to_device(value: Any, device: torch.device) -> Any:
    """Tensors and NumPy arrays, also inside tuples, lists and dicts, on the device."""
    if isinstance(value, dict):
        return {name: _to_device(item, device) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_to_device(item, device) for item in value)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


@torch.no_grad()
def predict(model: nn.Module, inputs: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Logits `[rows, classes]` of a model in evaluation mode, batch by batch; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    parts = [model(inputs[i : i + batch_size].to(device)) for i in range(0, len(inputs), batch_size)]
    model.train(training)
    return torch.cat(parts)
