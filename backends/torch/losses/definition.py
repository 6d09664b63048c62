"""The decorator under which a formula for rows becomes a divergence of logits."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from ...common.definition import Parameter, divergence_of
from .differentiable import check_arguments, evaluate
from .execution import DEFINITIONS, Definition
from .operands import farthest, pack_parameters
from .rows import Rows, with_absent_far

TermsAndSlopes = tuple[torch.Tensor, torch.Tensor]


class _Pattern(NamedTuple):
    finite: bool = False


def row_divergence(
    *, row_parameters: Callable[..., torch.Tensor] | None = None, **checks: Callable[[str, float], float]
) -> Callable[[Callable[..., TermsAndSlopes]], Callable[..., torch.Tensor]]:
    """Make a row function (rows, *parameters) → (terms, slopes) the divergence of logits that carries its name.

    Args:
        row_parameters: (student, teacher, parameters, temperature) → `[rows, n]`, numbers held constant that depend on
            the logits; the row function gets them after its parameters, as n tensors `[rows, 1]`.
        checks: by parameter, the check of `backends.common.arguments` that it must pass.

    Terms and slopes are `[rows, classes]`: what each class adds to the value, and h = −∂D/∂t up to a multiple of q, best
    the one that is 0 at the student's most likely class. A parameter arrives as a `Parameter`.
    """

    def decorate(row_function: Callable[..., TermsAndSlopes]) -> Callable[..., torch.Tensor]:
        def classes(rows: Rows, operands: torch.Tensor, numbers: torch.Tensor | None, pattern: Any) -> TermsAndSlopes:
            scalars = operands[2:].unbind()
            parameters = (Parameter(*pair) for pair in zip(scalars[::2], scalars[1::2], strict=True))
            further = () if numbers is None else numbers[..., None].unbind(1)
            return row_function(with_absent_far(rows), *parameters, *further)

        DEFINITIONS[row_function.__name__] = Definition(classes, _prepare, checks, row_parameters)
        return divergence_of(row_function, checks, partial(_evaluate, row_function.__name__, checks))

    return decorate


def _evaluate(
    name: str,
    checks: Mapping[str, Callable],
    parameters: Mapping[str, float],
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float,
    mask: torch.Tensor | None,
    weights: torch.Tensor | None,
    reduction: str,
) -> torch.Tensor:
    student, teacher, weight = check_arguments(student_logits, teacher_logits, mask, weights, reduction)
    return evaluate(name, student, teacher, pack_parameters(parameters, checks, temperature), weight, reduction)


def _prepare(parameters: Sequence[float], temperature: float, dtype: torch.dtype) -> tuple[list[float], _Pattern]:
    """The common scalars, then each parameter and what it lacks to 1, which would lose digits as a float32 difference."""
    return [1 / temperature, farthest(dtype), *(x for parameter in parameters for x in (parameter, 1 - parameter))], _Pattern()
