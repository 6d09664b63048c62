"""The decorator under which a formula for rows becomes a divergence of logits."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from ...common.definition import Parameter, divergence_of
from .differentiable import check_arguments, evaluate
from .operands import pack_parameters
from .rows import Rows

TermsAndSlopes = tuple[tf.Tensor, tf.Tensor]


def row_divergence(
    **checks: Callable[[str, Any], float],
) -> Callable[[Callable[..., TermsAndSlopes]], Callable[..., tf.Tensor]]:
    """Make a row function (rows, *parameters) → (terms, slopes) the divergence of logits that carries its name.

    Args:
        checks: by parameter, the check of `backends.common.arguments` that a number must pass.

    Terms and slopes are `[N, C]`: what each class adds to the value, and h = −∂D/∂t up to a multiple of q, best the one
    that is 0 at the student's most likely class. A parameter arrives as a `Parameter` of float64 scalars.
    """

    def decorate(row_function: Callable[..., TermsAndSlopes]) -> Callable[..., tf.Tensor]:
        def packed_function(rows: Rows, packed: tf.Tensor) -> TermsAndSlopes:
            scalars = (packed[i] for i in range(1, len(checks) + 1))
            return row_function(rows, *(Parameter(scalar, 1 - scalar) for scalar in scalars))

        packed_function.__name__ = row_function.__name__
        return divergence_of(row_function, checks, partial(_evaluate, packed_function, checks))

    return decorate


def _evaluate(
    packed_function: Callable[[Rows, tf.Tensor], TermsAndSlopes],
    checks: Mapping[str, Callable],
    parameters: Mapping[str, Any],
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any,
    mask: Any,
    weights: Any,
    reduction: str,
) -> tf.Tensor:
    student, teacher, counting = check_arguments(student_logits, teacher_logits, mask, reduction, weights)
    return evaluate(packed_function, student, teacher, pack_parameters(parameters, checks, temperature), counting)
