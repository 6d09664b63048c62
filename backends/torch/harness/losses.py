"""Divergences and objectives for the suites: NumPy arrays in and out, and calls that are ready to be timed."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .. import divergences, objectives
from ..objectives import ABKDLoss
from .device import current_device, to_device, to_numpy


def value_and_gradient(
    divergence: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    parameters: dict[str, float],
    *,
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reduction: str = "none",
    dtype: str = "float32",
    teacher_dtype: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A divergence and the gradient of the sum of its values, both as float64.

    Args:
        divergence: name of a function in `backends.torch.divergences`.
        student_logits, teacher_logits: `[..., C]`, converted to `dtype` and `teacher_dtype` (None: the same).
        parameters: the divergence's own, e.g. {"alpha": 0.5, "beta": 0.5}.
        temperature, mask, weights, reduction: passed on.
        dtype, teacher_dtype: keys of `DTYPES`.
    """
    student = to_device(student_logits, dtype).requires_grad_()
    teacher = to_device(teacher_logits, teacher_dtype or dtype)
    rows = _on_device({"mask": mask, "weights": weights})
    function = getattr(divergences, divergence)
    value = function(student, teacher, **parameters, temperature=temperature, **rows, reduction=reduction)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    return to_numpy(value), to_numpy(gradient)


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
    reduction: str = "mean",
    shift: bool = False,
    weights: np.ndarray | None = None,
    normalizer: float | None = None,
    dtype: str = "float32",
) -> tuple[float | np.ndarray, np.ndarray]:
    """`ABKDLoss` and the gradient of its sum with respect to the student's logits, as float64."""
    student = to_device(student_logits, dtype).requires_grad_()
    loss = ABKDLoss(
        alpha,
        beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
        ignore_index=ignore_index,
        reduction=reduction,
        shift=shift,
    )
    arrays = _on_device({"labels": labels, "weights": weights, "normalizer": normalizer})
    return _value_and_gradient(loss(student, to_device(teacher_logits, dtype), **arrays), student)


def named_objective_and_gradient(
    name: str,
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    parameters: dict[str, Any],
    dtype: str = "float32",
) -> tuple[float | np.ndarray, np.ndarray]:
    """An objective and the gradient of its sum with respect to the student's logits, as float64.

    Args:
        name: of a function in `backends.torch.objectives`, e.g. "dkd_loss".
        student_logits, teacher_logits: `[..., C]`, converted to `dtype`.
        labels: integers `[...]`, for objectives that take them.
        parameters: the objective's own, NumPy arrays (weights, normalizer) among them.
        dtype: key of `DTYPES`.
    """
    if name not in objectives.__all__:
        raise ValueError(f"objective={name!r} is not known; choose one of {', '.join(objectives.__all__)}")
    function = getattr(objectives, name)
    labelled = "labels" in inspect.signature(function).parameters
    arrays = _on_device({**({"labels": labels} if labelled else {}), **parameters})
    student = to_device(student_logits, dtype).requires_grad_()
    return _value_and_gradient(function(student, to_device(teacher_logits, dtype), **arrays), student)


def _value_and_gradient(value: torch.Tensor, student: torch.Tensor) -> tuple[float | np.ndarray, np.ndarray]:
    """A value, a float where it is a scalar, and the gradient of its sum."""
    (gradient,) = torch.autograd.grad(value.sum(), student)
    return to_numpy(value) if value.ndim else value.item(), to_numpy(gradient)


def _on_device(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, arrays among them as tensors of their own type."""
    return {
        name: torch.from_numpy(np.asarray(value)).to(current_device())
        if isinstance(value, (np.ndarray, np.number, np.bool_))
        else value
        for name, value in arguments.items()
    }


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
        self._student, self._teacher = to_device(student, dtype).requires_grad_(), to_device(teacher, dtype)
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
        return self._value.item(), to_numpy(self._student.grad)

    def synchronize(self) -> None:
        """Wait for the device."""
        if current_device().type == "cuda":
            torch.cuda.synchronize(current_device())


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
    source = torch.ones(elements, dtype=torch.float32, device=current_device())
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if current_device().type == "cuda":
            torch.cuda.synchronize(current_device())

    return copy
