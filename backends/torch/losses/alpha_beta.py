"""The α-β-divergence as a differentiable PyTorch function."""

import torch

from ...common.arguments import check_number
from . import kernel  # noqa: F401  defines "ab_divergence"
from .differentiable import evaluate


def ab_divergence(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """α-β-divergence D_AB(teacher ‖ student) of the softmax distributions of two sets of logits.

    (1, 0) is the forward KL divergence, (0, 1) the reverse one, (½, ½) twice Σ(√p − √q)², (1, 1) half the squared
    Euclidean distance. There is no factor temperature²: objectives that have one apply it themselves.

    Args:
        student_logits: `[..., C]`, float64, float32, bfloat16 or float16. Log-probabilities are logits too; −inf marks
            a class of probability 0.
        teacher_logits: the same shape; a constant, no gradient reaches it.
        alpha, beta: any finite real numbers.
        temperature: divides both sets of logits, > 0.
        mask: `[...]`, bool; True selects a row. Rows left out never reach value or gradient, whatever they hold.
        reduction: "mean" over selected rows, "sum", or "none" (`[...]`, 0 for rows left out).

    Returns:
        The divergence in float64 for float64 students, else float32; the gradient has the student's type. An empty
        selection gives 0. A row with NaN, +inf or no finite logit gives NaN. Differentiable once.

    Raises:
        ValueError: shapes, reduction, or a parameter that is not finite (temperature: not positive).
        TypeError: logits that are not floating point.

    Source: Definition 4.1 of Wang et al., "ABKD", ICML 2025, extended to all (α, β) by Cichocki et al., 2011.
    """
    alpha, beta = check_number("alpha", alpha), check_number("beta", beta)
    return evaluate(
        "ab_divergence", (alpha, beta), student_logits, teacher_logits, temperature=temperature, mask=mask, reduction=reduction
    )
