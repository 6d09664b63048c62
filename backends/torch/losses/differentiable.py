"""The way from a user's logits to a divergence: checks, weights, reductions, and the rule of differentiation."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ...common.arguments import (
    check_mask,
    check_no_output,
    check_normalizer,
    check_reduction,
    check_shapes,
    check_weights,
    warn_of_swapped,
)
from .execution import run_rows
from .rows import compute_type

Normalizer = float | torch.Tensor

_TORCH = str(Path(torch.__file__).parent)


def check_arguments(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    mask: torch.Tensor | None,
    weights: torch.Tensor | None,
    reduction: str,
    normalizer: Normalizer | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Student's and teacher's logits, which fit each other, and what each row's value is multiplied by, `row_weights`.

    Raises:
        ValueError: shapes that differ, an unknown reduction, weights or a normalizer that are not allowed.
        TypeError: logits that are not tensors of floating point, a floating mask of other numbers than 0 and 1.
    """
    check_logits(student_logits, teacher_logits)
    return student_logits, teacher_logits, row_weights(student_logits, mask, weights, check_reduction(reduction), normalizer)


def check_logits(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> None:
    """Check that both are tensors of logits that fit each other, and say where they seem to be swapped."""
    for name, logits in (("student_logits", student_logits), ("teacher_logits", teacher_logits)):
        if not check_tensor(name, logits).is_floating_point():
            raise TypeError(f"{name} has type {logits.dtype}; logits must be float64, float32, bfloat16 or float16")
    check_shapes(student_logits.shape, teacher_logits.shape)
    if teacher_logits.requires_grad and not student_logits.requires_grad and torch.is_grad_enabled():
        _warn_of_swapped()


def check_tensor(name: str, value: Any) -> torch.Tensor:
    """Return a tensor; a TypeError says how to get one from what came instead."""
    if not isinstance(value, torch.Tensor):
        check_no_output(name, value)
        if isinstance(value, np.ndarray):
            raise TypeError(f"{name} is a NumPy array; pass torch.from_numpy({name})")
        raise TypeError(f"{name} is a {type(value).__name__}; pass a tensor, such as torch.as_tensor({name})")
    return value


@torch.compiler.assume_constant_result
def _warn_of_swapped() -> None:
    """Also said by torch.compile, which runs this while it traces."""
    warn_of_swapped(False, True, through=_TORCH)


def row_weights(
    student: torch.Tensor,
    mask: torch.Tensor | None,
    weights: torch.Tensor | None,
    reduction: str,
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """What each row's value is multiplied by before all are added up, `[...]` of the computing type, a constant.

    Args:
        student: logits `[..., C]`.
        mask: `[...]`, the rows that count; None: all.
        weights: `[...]`, of each row; None: 1.
        reduction: of the values; for "mean" the result adds up to 1.
        normalizer: what it is divided by instead.

    Raises:
        ValueError: shapes, weights or a normalizer that are not allowed.
        TypeError: a floating mask of other numbers than 0 and 1.
    """
    dtype, device = compute_type(student.dtype), student.device
    if weights is None:
        weight = torch.ones(student.shape[:-1], dtype=dtype, device=device)
    else:
        _check_rows("weights", weights, student)
        check_weights(str(weights.dtype), _values(weights))
        weight = weights.detach().to(device, torch.promote_types(weights.dtype, dtype))
    if mask is not None:
        _check_rows("mask", mask, student)
        check_mask(str(mask.dtype), _values(mask) if mask.is_floating_point() else None)
        weight = weight * mask.to(device=device, dtype=torch.bool)
    if normalizer is not None:
        weight = weight / check_divisor(normalizer, reduction, weight)
    elif reduction == "mean":
        if weights is not None and weight.numel():  # the largest becomes 1, so that no sum overflows or is below 1
            largest = weight.amax()
            weight = weight / torch.where(largest == 0, 1.0, largest)
        weight = weight / weight.sum().clamp(min=1)
    return weight if weights is None else weight.to(dtype).clamp(max=torch.finfo(dtype).max)


def check_divisor(normalizer: Normalizer, reduction: str, like: torch.Tensor) -> Normalizer:
    """A normalizer as a number, or as a scalar of the type and on the device of `like`, a constant.

    Raises:
        ValueError: it is not one positive number, as far as can be seen without a wait, or there is no sum to divide.
    """
    if not isinstance(normalizer, torch.Tensor):
        check_normalizer((), None if torch.compiler.is_compiling() else normalizer, reduction)
        return normalizer
    look = normalizer.numel() == 1 and may_look(normalizer)
    check_normalizer(normalizer.shape, normalizer.item() if look else None, reduction)
    return normalizer.detach().reshape(()).to(like.device, like.dtype)


def may_look(tensor: torch.Tensor) -> bool:
    """Whether a look at the values neither waits for an accelerator nor breaks a compiled graph."""
    return not torch.compiler.is_compiling() and tensor.device.type == "cpu"


def _values(rows: torch.Tensor) -> np.ndarray | None:
    """Numbers of rows, for a check: on an accelerator this waits, compiled code has none."""
    if torch.compiler.is_compiling():
        return None
    rows = rows.detach().cpu()
    return (rows.double() if rows.dtype in (torch.bfloat16, torch.float16) else rows).numpy()


def _check_rows(name: str, rows: torch.Tensor, logits: torch.Tensor) -> None:
    shape = check_tensor(name, rows).shape
    check_shapes(logits.shape, logits.shape, **{f"{name}_shape": shape})


def evaluate(
    divergence: str,
    student: torch.Tensor,
    teacher: torch.Tensor,
    packed: Sequence[float] | torch.Tensor,
    weight: torch.Tensor,
    reduction: str,
) -> torch.Tensor:
    """A divergence of arguments that are checked already.

    Args:
        divergence: key of `backends.torch.losses.execution.DEFINITIONS`.
        student, teacher, weight, reduction: as `check_arguments` returns them; "mean" and "sum" both add up.
        packed: of `backends.torch.losses.operands`.
    """
    leading, classes = student.shape[:-1], student.shape[-1]
    student, teacher, weight = student.reshape(-1, classes), teacher.detach().reshape(-1, classes), weight.reshape(-1)
    numbers = packed if isinstance(packed, torch.Tensor) else torch.tensor(packed, dtype=torch.float64, device="cpu")
    arguments = (student, teacher, weight, numbers, divergence)
    differentiable = student.requires_grad and torch.is_grad_enabled()
    if differentiable:
        value = (_RowValues if reduction == "none" else _WeightedSum).apply(*arguments)[0]
    else:
        value = _weighted(_rows_op(*arguments, False)[0], weight)
        value = value if reduction == "none" else value.sum()
    return value.reshape(leading) if reduction == "none" else value


def _weighted(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.where(weight == 0, 0.0, value * weight)


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
    numbers: torch.Tensor,
    divergence: str,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`run_rows` as an operator, so that a user's torch.compile takes it as one node.

    Temperature and parameters come as a tensor `[n]`, float64 on the CPU: numbers would be compiled into the graph.
    """
    temperature, *parameters = numbers.tolist()
    value, gradient = run_rows(divergence, parameters, student, teacher, weight, temperature, with_gradient)
    return value, value.new_empty(0) if gradient is None else gradient


@_rows_op.register_fake
def _(student, teacher, weight, numbers, divergence, with_gradient):
    gradient = weight.new_empty(student.shape) if with_gradient else weight.new_empty(0)
    return weight.new_empty(student.shape[0]), gradient


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])
    ctx.dtype = inputs[0].dtype


class _RowValues(torch.autograd.Function):
    """Weighted row values whose gradient, known since the forward pass, is only scaled in the backward pass.

    It is kept in the computing type, and rounded to the student's type once it is scaled.
    """

    @staticmethod
    def forward(student, teacher, weight, numbers, divergence):
        value, gradient = _rows_op(student, teacher, weight, numbers, divergence, True)
        return _weighted(value, weight), gradient

    setup_context = staticmethod(_save)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_value: torch.Tensor, _: Any) -> tuple:
        (gradient,) = ctx.saved_tensors
        return (_scaled(gradient, grad_value[:, None], ctx.dtype), None, None, None, None)


class _WeightedSum(torch.autograd.Function):
    """Σ weight · value over rows, as `_RowValues`."""

    @staticmethod
    def forward(student, teacher, weight, numbers, divergence):
        value, gradient = _rows_op(student, teacher, weight, numbers, divergence, True)
        return _weighted(value, weight).sum(), gradient

    setup_context = staticmethod(_save)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sum: torch.Tensor, _: Any) -> tuple:
        (gradient,) = ctx.saved_tensors
        # the plain loss.backward() has nothing to scale; elsewhere the look at the value would wait or not compile
        if may_look(grad_sum) and grad_sum == 1:
            return (gradient.to(ctx.dtype), None, None, None, None)
        return (_scaled(gradient, grad_sum, ctx.dtype), None, None, None, None)


def _scaled(gradient: torch.Tensor, by: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The gradient times a factor, rounded once; what counts for nothing is 0 even where the gradient has overflowed."""
    return torch.where(by == 0, 0.0, gradient * by).to(dtype)
