"""The table of divergences: what each is called, takes, and is checked against. One row is one divergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reference import divergences, exact
from reference.grid import AB_GRID


@dataclass(frozen=True)
class Divergence:
    """One divergence.

    Attributes:
        name: of the function in `reference.divergences` and in each backend.
        parameters: names of its parameters, in the order of its positional arguments after the logits.
        grid: parameter values that its golden cases cover.
        exact: (student_logits, teacher_logits, temperature) of one row -> an object whose
            `value_and_gradient(*raw parameters, digits=…)` is the definition in multiprecision.
        reference: (student_logits, teacher_logits, *parameters, temperature, mask, reduction) -> (value, gradient),
            in float64 NumPy.
        source: where the definition is published.
    """

    name: str
    parameters: tuple[str, ...]
    grid: tuple[Mapping[str, float], ...]
    exact: Callable[..., Any]
    reference: Callable[..., Any]
    source: str


DIVERGENCES: dict[str, Divergence] = {
    row.name: row
    for row in (
        Divergence(
            name="ab_divergence",
            parameters=("alpha", "beta"),
            grid=tuple({"alpha": alpha, "beta": beta} for alpha, beta in AB_GRID),
            exact=exact.exact_row,
            reference=divergences.ab_divergence_and_gradient,
            source="Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Definition 4.1; limits: Cichocki et al., 2011",
        ),
    )
}


def get(name: str) -> Divergence:
    """The divergence of this name; ValueError listing the known ones otherwise."""
    if name not in DIVERGENCES:
        raise ValueError(f"divergence is {name!r}; it must be one of {', '.join(sorted(DIVERGENCES))}")
    return DIVERGENCES[name]
