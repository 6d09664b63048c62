"""What the published code and the article's snippet compute, as formulas written anew, to compare with the definition.

Nothing here is for training. p is the teacher, q the student, both probabilities [..., C]; all is computed in the type
of the arrays, as eager framework code would, with its rounding, overflow and 0 · ∞. The formulas are those of the
public code of the ABKD paper as of 2025-07-05 and, where named so, of its state before 2025-06-05.
"""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray) -> NDArray:
    """softmax over the last axis in the type of the logits; NaN for a row of −inf, as in the frameworks."""
    with np.errstate(all="ignore"):
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)


def general_branch(p: NDArray, q: NDArray, alpha: float, beta: float) -> NDArray:
    """Definition 4.1 term by term; all that the copies for CLIP, DKD, LSD and TTM have, with 0/0 on the lines."""
    kind = p.dtype.type
    a, b = kind(alpha), kind(beta)
    gamma = kind(alpha + beta)  # the sum is formed by the host, in float64
    with np.errstate(all="ignore"):
        terms = p**a * q**b - a / gamma * p**gamma - b / gamma * q**gamma
        return -terms.sum(axis=-1) / (a * b)


def ab_divergence(p: NDArray, q: NDArray, alpha: float, beta: float) -> NDArray:
    """The divergence [...] of the published code: its branches for α = 0, β = 0 and α + β = 0 scale by 1/α or 1/β.

    The limits need 1/α² or 1/β². The lines are recognised by equality of floats. α = β = 0 is not covered here.

    Raises:
        ValueError: at α = β = 0.
    """
    if alpha == 0 and beta == 0:
        raise ValueError(f"alpha is {alpha!r} and beta {beta!r}; at least one of them must not be 0 here")
    kind = p.dtype.type
    a, b = kind(alpha), kind(beta)
    with np.errstate(all="ignore"):
        if beta == 0:
            return (p**a * np.log(p**a / q**a) - p**a + q**a).sum(axis=-1) / a
        if alpha == 0:
            return (q**b * np.log(q**b / p**b) - q**b + p**b).sum(axis=-1) / b
        if alpha + beta == 0:
            ratio = q**a / p**a
            return (np.log(ratio) + 1 / ratio - 1).sum(axis=-1) / a
    return general_branch(p, q, alpha, beta)


def ab_divergence_before_june_2025(p: NDArray, q: NDArray, alpha: float, beta: float) -> NDArray:
    """The general branch as it was until 2025-06-05: divided by α+β instead of αβ."""
    return general_branch(p, q, alpha, beta) * p.dtype.type(alpha * beta / (alpha + beta))


def logit_gradient(student_logits: NDArray, teacher_logits: NDArray, alpha: float, beta: float) -> NDArray:
    """Gradient [..., C] of the general branch with respect to the student's logits, as autograd forms it.

    First through the powers (q^(β−1) at q = 0 is infinite where β < 1), then through the softmax (0 · ∞).
    """
    p, q = softmax(teacher_logits), softmax(student_logits)
    kind = p.dtype.type
    a, b, gamma = kind(alpha), kind(beta), kind(alpha + beta)
    one = kind(1)
    with np.errstate(all="ignore"):
        slope = -(p**a * (b * q ** (b - one)) - b / gamma * (gamma * q ** (gamma - one))) / (a * b)
        return q * (slope - (slope * q).sum(axis=-1, keepdims=True))


def article_snippet(student_logits: NDArray, teacher_logits: NDArray, alpha: float, beta: float) -> NDArray:
    """The article's loss [...]: softmax, + 1e-8, renormalised, then the general branch."""
    sides = []
    for logits in (teacher_logits, student_logits):
        raised = softmax(logits) + logits.dtype.type(1e-8)
        sides.append(raised / raised.sum(axis=-1, keepdims=True))
    return general_branch(*sides, alpha, beta)
