"""What the suites call: NumPy arrays in and out, the same functions in every backend."""

import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...common.networks.convolutional import ModelSpec
from ...common.training.batches import ConvertedBatches
from ...common.training.result import TrainingResult
from .. import divergences, objectives
from ..models import convolutional, weights
from ..objectives import ABKDLoss
from ..training.train import predict as predict_logits
from ..training.train import train_student

NAME = "torch"
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_device = torch.device("cpu")


def set_up(*, threads: int | None = None, device: str = "auto") -> str:
    """Make results repeatable and choose the device, once per process.

    Args:
        threads: of the CPU; None leaves PyTorch's choice.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        ValueError: an unknown device, or a GPU that is not there.
    """
    global _device
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is not known; choose one of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda': PyTorch sees no GPU here; choose 'cpu' or 'auto'")
    if threads is not None:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that writes all memory twice
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    _device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    return _device.type


def describe() -> dict[str, str]:
    """Framework, version, device, threads and the flags that decide whether results repeat."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": torch.cuda.get_device_name(_device) if _device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "tf32": str(torch.backends.cuda.matmul.allow_tf32),
    }


def _tensor(array: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(_device, DTYPES[dtype])


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float64).numpy()


def value_and_gradient(
    divergence: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A divergence and the gradient of the sum of its values, both as float64.

    Args:
        divergence: name of a function in `backends.torch.divergences`.
        student_logits, teacher_logits: `[..., C]`, converted to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": 0.5, "beta": 0.5}.
        temperature, mask, reduction: passed on.
        dtype, teacher_dtype: keys of `DTYPES`.
    """
    student = _tensor(student_logits, dtype).requires_grad_()
    teacher = _tensor(teacher_logits, teacher_dtype or dtype)
    selected = None if mask is None else torch.from_numpy(np.asarray(mask)).to(_device)
    function = getattr(divergences, divergence)
    value = function(student, teacher, **parameters, temperature=temperature, mask=selected, reduction=reduction)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    return _to_numpy(value), _to_numpy(gradient)


def objective_and_gradient(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float,
    beta: float,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    ignore_index: int = -100,
    dtype: str = "float32",
) -> tuple[float, np.ndarray]:
    """`ABKDLoss` and its gradient with respect to the student's logits, as float64."""
    student = _tensor(student_logits, dtype).requires_grad_()
    loss = ABKDLoss(
        alpha, beta, temperature=temperature, distill_weight=distill_weight, hard_weight=hard_weight, ignore_index=ignore_index
    )
    value = loss(student, _tensor(teacher_logits, dtype), torch.from_numpy(np.asarray(labels)).to(_device))
    (gradient,) = torch.autograd.grad(value, student)
    return value.item(), _to_numpy(gradient)


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: dict[str, Any],
    dtype: str = "float32",
) -> tuple[float, np.ndarray]:
    """An objective and its gradient with respect to the student's logits, as float64.

    Args:
        name: of a function in `backends.torch.objectives`, e.g. "dkd_loss".
        student_logits, teacher_logits: `[..., C]`, converted to `dtype`.
        labels: integers `[...]`, for objectives that take them.
        parameters: the objective's own.
        dtype: key of `DTYPES`.
    """
    if name not in objectives.__all__:
        raise ValueError(f"objective={name!r} is not known; choose one of {', '.join(objectives.__all__)}")
    function = getattr(objectives, name)
    labelled = "labels" in inspect.signature(function).parameters
    targets = (torch.from_numpy(np.asarray(labels)).to(_device),) if labelled else ()
    student = _tensor(student_logits, dtype).requires_grad_()
    value = function(student, _tensor(teacher_logits, dtype), *targets, **parameters)
    (gradient,) = torch.autograd.grad(value, student)
    return value.item(), _to_numpy(gradient)


def framework_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """PyTorch's own forward KL divergence on log-softmax, the yardstick of timings."""
    return functional.kl_div(
        functional.log_softmax(student, -1), functional.log_softmax(teacher, -1), reduction="batchmean", log_target=True
    )


class Call:
    """A divergence on fixed tensors, ready to be timed; every method returns when the device has finished."""

    def __init__(
        self,
        divergence: str,
        student: np.ndarray,
        teacher: np.ndarray,
        parameters: dict[str, float],
        temperature: float,
        dtype: str,
    ) -> None:
        self._student, self._teacher = _tensor(student, dtype).requires_grad_(), _tensor(teacher, dtype)
        if divergence == "framework_kl":
            self._function: Callable[..., torch.Tensor] = framework_kl
        else:
            function = getattr(divergences, divergence)
            self._function = lambda s, t: function(s, t, **parameters, temperature=temperature)

    def forward(self) -> None:
        """The mean divergence, without gradient."""
        with torch.no_grad():
            self._value = self._function(self._student, self._teacher)
        self.synchronize()

    def forward_backward(self) -> None:
        """The mean divergence and its gradient with respect to the student's logits."""
        self._student.grad = None
        self._value = self._function(self._student, self._teacher)
        self._value.backward()
        self.synchronize()

    def result(self) -> tuple[float, np.ndarray]:
        """Value and gradient of the tensors that are timed, as float64."""
        self.forward_backward()
        return self._value.item(), _to_numpy(self._student.grad)

    def synchronize(self) -> None:
        """Wait for the device."""
        if _device.type == "cuda":
            torch.cuda.synchronize(_device)


def prepare_call(
    divergence: str,
    student: np.ndarray,
    teacher: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    dtype: str = "float32",
) -> Call:
    """Put tensors on the device and return the `Call`; "framework_kl" is the framework's own KL divergence."""
    return Call(divergence, student, teacher, parameters, temperature, dtype)


def prepare_copy(elements: int) -> Callable[[], None]:
    """Return a function that copies `elements` float32 numbers on the device and waits: the bandwidth yardstick."""
    source = torch.ones(elements, dtype=torch.float32, device=_device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if _device.type == "cuda":
            torch.cuda.synchronize(_device)

    return copy


def build_model(spec: ModelSpec, arrays: dict[str, np.ndarray], dtype: str) -> nn.Module:
    """Build a network on the device with the given weights, in evaluation mode."""
    model = convolutional.build_model(spec).to(_device, DTYPES[dtype], memory_format=torch.channels_last)
    weights.load_weights(model, arrays)
    return model.eval()


export_weights = weights.export_weights


def _images(inputs: np.ndarray, like: nn.Module) -> torch.Tensor:
    """NHWC images as PyTorch's `[batch, channels, height, width]`, in memory as they were (channels last)."""
    tensor = torch.from_numpy(np.ascontiguousarray(inputs)).to(_device, next(like.parameters()).dtype)
    return tensor.permute(0, 3, 1, 2)


def predict(model: nn.Module, inputs: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Logits `[rows, classes]` of NHWC images in evaluation mode, as float64."""
    return _to_numpy(predict_logits(model, _images(inputs, model), batch_size))


def training_logits(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Logits `[rows, classes]` of one batch of NHWC images in training mode, as float64; running statistics move."""
    model.train()
    with torch.no_grad():
        logits = model(_images(inputs, model))
    model.eval()
    return _to_numpy(logits)


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
        return _images(inputs, student), torch.from_numpy(np.asarray(labels)).to(_device, torch.long)

    return train_student(teacher, student, ConvertedBatches(batches, tensors), **arguments)


def peak_memory_bytes() -> int | None:
    """Peak of the accelerator's memory since it was last asked; None on a CPU."""
    if _device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(_device)
    torch.cuda.reset_peak_memory_stats(_device)
    return peak
