"""The decorator under which a formula for rows becomes a divergence of logits."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from ...common.definition import Parameter, divergence_of
from .differentiable import check_arguments, evaluate, select_rows
from .operands import pack_parameters
from .rows import Rows, compute_type, with_absent_far

TermsAndSlopes = tuple[jax.Array, jax.Array]


def row_divergence(
    **checks: Callable[[str, Any], float],
) -> Callable[[Callable[..., TermsAndSlopes]], Callable[..., jax.Array]]:
    """Make a row function (rows, *parameters) → (terms, slopes) the divergence of logits that carries its name.

    Args:
        checks: by parameter, the check of `backends.common.arguments` that a concrete value must pass.

    Terms and slopes are `[..., classes]`: what each class adds to the value, and h = −∂D/∂t up to a multiple of q, best
    the one that is 0 at the student's most likely class. A parameter arrives as a `Parameter`.
    """

    def decorate(row_function: Callable[..., TermsAndSlopes]) -> Callable[..., jax.Array]:
        def packed_function(rows: Rows, packed: jax.Array) -> TermsAndSlopes:
            number = len(checks)
            parameters = (Parameter(packed[2 + i], packed[2 + number + i]) for i in range(number))
            return row_function(with_absent_far(rows), *parameters)

        packed_function.__name__ = row_function.__name__
        return divergence_of(row_function, checks, partial(_evaluate, packed_function, checks))

    return decorate


def _evaluate(
    packed_function: Callable[[Rows, jax.Array], TermsAndSlopes],
    checks: Mapping[str, Callable],
    parameters: Mapping[str, Any],
    student_logits: Any,
    teacher_logits: Any,
    *,
    temperature: Any,
    mask: Any,
    weights: Any,
    reduction: str,
) -> jax.Array:
    student, teacher, mask = check_arguments(student_logits, teacher_logits, mask, reduction)
    selection = select_rows(student, mask, weights, reduction)
    packed = pack_parameters(parameters, checks, temperature, compute_type(student.dtype))
    return evaluate(packed_function, student, teacher, packed, selection, reduction)
