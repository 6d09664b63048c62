"""From a row function to a divergence of logits: what the decorator `row_divergence` of the three backends shares."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_COMMON = """
Args:
    student_logits: `[..., C]`, float64, float32, bfloat16 or float16; −inf marks a class of probability 0.
    teacher_logits: the same shape; a constant, no gradient reaches it.
    {parameters}temperature: divides both sets of logits, > 0. There is no factor temperature².
    mask: `[...]`, bool, or numbers that are 0 or 1; True selects a row. Rows left out never reach value or gradient,
        whatever they hold.
    weights: `[...]`, real, finite, ≥ 0, a constant: the weight of each row; rows of weight 0 are left out.
    reduction: "mean", Σ weight · D / Σ weight over selected rows; "sum", Σ weight · D; or "none" (`[...]`, weight · D).

Returns:
    The divergence in float64 for float64 students, else float32; an empty selection gives 0, a row with NaN, +inf
    or no finite logit NaN. Never negative, 0 exactly if both distributions are the same. Differentiable once.

Raises:
    ValueError: shapes, reduction, temperature, a parameter or a weight that is not allowed.
    TypeError: logits that are not floating point; a floating mask of other numbers than 0 and 1.
"""


class Parameter(NamedTuple):
    """A divergence's parameter as its row function gets it.

    Attributes:
        value: a scalar of the framework.
        rest: 1 − value, which the other side of a mixture weighs.
    """

    value: Any
    rest: Any


def divergence_of(
    row_function: Callable, checks: Mapping[str, Callable[[str, float], float]], evaluate: Callable[..., Any]
) -> Callable[..., Any]:
    """Make the public function that has a row function's name, its parameters and the arguments of all divergences.

    Args:
        row_function: (rows, *parameters) → (terms, slopes). Its defaults are the divergence's; its docstring gets the
            common arguments appended, a last section "Parameters:" among them.
        checks: the divergence's parameters by name, each with what checks its number.
        evaluate: (parameters by name, student_logits, teacher_logits, temperature=, mask=, weights=, reduction=) →
            the divergence.
    """
    name, names = row_function.__name__, tuple(checks)
    own = [p for p in inspect.signature(row_function).parameters.values() if p.name in checks]
    defaults = {p.name: p.default for p in own if p.default is not inspect.Parameter.empty}

    def divergence(
        student_logits: Any,
        teacher_logits: Any,
        *positional: Any,
        temperature: Any = 1.0,
        mask: Any = None,
        weights: Any = None,
        reduction: str = "mean",
        **named: Any,
    ) -> Any:
        parameters = {**defaults, **dict(zip(names, positional, strict=False)), **named}
        if len(positional) > len(names) or parameters.keys() != checks.keys():
            raise TypeError(f"{name} takes the parameters ({', '.join(names)}); it got {positional} and {named}")
        parameters = {key: parameters[key] for key in names}
        options = {"temperature": temperature, "mask": mask, "weights": weights, "reduction": reduction}
        return evaluate(parameters, student_logits, teacher_logits, **options)

    common = list(inspect.signature(divergence).parameters.values())
    own = [p.replace(kind=p.POSITIONAL_OR_KEYWORD, annotation=float) for p in own]
    divergence.__signature__ = inspect.Signature([*common[:2], *own, *common[3:-1]])  # type: ignore[attr-defined]
    divergence.__name__ = divergence.__qualname__ = name
    divergence.__module__ = row_function.__module__
    summary, _, listed = inspect.cleandoc(row_function.__doc__ or "").partition("\n\nParameters:\n")
    lines = "".join(f"{line.strip()}\n    " for line in listed.splitlines())
    divergence.__doc__ = f"{summary}\n{_COMMON.format(parameters=lines)}"
    return divergence
