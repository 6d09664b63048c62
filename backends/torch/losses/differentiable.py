"""The way from a user's logits to a divergence: checks, masks, reductions, and the rule of differentiation."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from ...common.arguments import check_reduction, check_shapes
from .execution import run_rows
from .rows import compute_type


def check_arguments(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, mask: torch.Tensor | None, reduction: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Student's and teacher's logits and the mask, which fit each other.

    Raises:
        ValueError: shapes that differ, an unknown reduction.
        TypeError: logits that are not floating point.
    """
    check_reduction(reduction)
    check_shapes(student_logits.shape, teacher_logits.shape, None if mask is None else mask.shape)
    for name, logits in (("student_logits", student_logits), ("teacher_logits", teacher_logits)):
        if not logits.is_floating_point():
            raise TypeError(f"{name} has type {logits.dtype}; logits must be float64, float32, bfloat16 or float16")
    return student_logits, teacher_logits, mask


def evaluate(
    divergence: str,
    student: torch.Tensor,
    teacher: torch.Tensor,
    packed: Sequence[float],
    mask: torch.Tensor | None,
    reduction: str,
) -> torch.Tensor:
    """A divergence of arguments that are checked already.

    Args:
        divergence: key of `backends.torch.losses.execution.DEFINITIONS`.
        student, teacher, mask, reduction: as `check_arguments` returns them.
        packed: of `backends.torch.losses.operands`.
    """
    leading, classes = student.shape[:-1], student.shape[-1]
    student, teacher = student.reshape(-1, classes), teacher.detach().reshape(-1, classes)
    weight = torch.ones(student.shape[0], dtype=compute_type(student.dtype), device=student.device)
    if mask is not None:
        weight = weight * mask.to(device=student.device, dtype=torch.bool).reshape(-1)
    if reduction == "mean":
        weight = weight / weight.sum().clamp(min=1)
    temperature, *parameters = packed
    arguments = (student, teacher, weight, divergence, parameters, temperature)
    differentiable = student.requires_grad and torch.is_grad_enabled()
    if reduction == "none":
        value = _RowValues.apply(*arguments)[0] if differentiable else _rows_op(*arguments, False)[0]
        return value.reshape(leading)
    if differentiable:
        return _WeightedSum.apply(*arguments)[0]
    return torch.where(weight == 0, 0.0, _rows_op(*arguments, False)[0] * weight).sum()


def _refuse_a_second_copy() -> None:
    """An operator's name is one for the process; a copy of this package under another name would take it over."""
    copies = [name for name in sys.modules if name.endswith(".torch.losses.differentiable") and name != __name__]
    if copies and hasattr(torch.ops.abkd, "divergence_rows"):
        first, second = (name.removesuffix(".torch.losses.differentiable") for name in (copies[0], __name__))
        raise ImportError(
            f"the PyTorch operator abkd::divergence_rows is that of the package {first!r} already; import either "
            f"{first!r} or {second!r} in one process, they are the same code"
        )


_refuse_a_second_copy()


@torch.library.custom_op("abkd::divergence_rows", mutates_args=())
def _rows_op(
    student: torch.Tensor,
    teacher: torch.Tensor,
    weight: torch.Tensor,
    divergence: str,
    parameters: Sequence[float],
    temperature: float,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`run_rows` as an operator, so that a user's torch.compile takes it as one node."""
    value, gradient = run_rows(divergence, parameters, student, teacher, weight, temperature, with_gradient)
    return value, student.new_empty(0) if gradient is None else gradient


@_rows_op.register_fake
def _(student, teacher, weight, divergence, parameters, temperature, with_gradient):
    gradient = torch.empty_like(student) if with_gradient else student.new_empty(0)
    return weight.new_empty(student.shape[0]), gradient


class _RowValues(torch.autograd.Function):
    """Row values whose gradient, known since the forward pass, is only scaled in the backward pass."""

    @staticmethod
    def forward(student, teacher, weight, divergence, parameters, temperature):
        return _rows_op(student, teacher, weight, divergence, parameters, temperature, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_value: torch.Tensor, _: Any) -> tuple:
        (gradient,) = ctx.saved_tensors
        return (_scaled(gradient, grad_value[:, None]), None, None, None, None, None)


class _WeightedSum(torch.autograd.Function):
    """Σ weight · value over rows; the weights are in the saved gradient already, before it was rounded."""

    @staticmethod
    def forward(student, teacher, weight, divergence, parameters, temperature):
        value, gradient = _rows_op(student, teacher, weight, divergence, parameters, temperature, True)
        return torch.where(weight == 0, 0.0, value * weight).sum(), gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sum: torch.Tensor, _: Any) -> tuple:
        (gradient,) = ctx.saved_tensors
        # the plain loss.backward() has nothing to scale; elsewhere the look at the value would wait or not compile
        if not torch.compiler.is_compiling() and grad_sum.device.type == "cpu" and grad_sum == 1:
            return (gradient, None, None, None, None, None)
        return (_scaled(gradient, grad_sum), None, None, None, None, None)


def _scaled(gradient: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """The gradient times a factor; what counts for nothing is 0 even where the gradient's type has overflowed."""
    return torch.where(by == 0, 0.0, gradient * by.to(gradient.dtype))
