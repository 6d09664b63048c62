"""Training objectives in float64 NumPy; those for classification and for sequences are taken in by name.

The training loss of the paper (Eq. 7) is cross-entropy with hard labels plus a weighted divergence:

    hard_weight · CE(student_logits, labels) + distill_weight · D_AB(teacher ‖ student; α, β, T)

The cross-entropy is at temperature 1, both terms are means over the rows whose label is not `ignore_index` (weighted ones
where there are weights, and divided by the normalizer where there is one), and no factor T² is applied. Source: Wang et
al., ICML 2025 (arXiv 2505.04560).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_labels, check_logits, check_real, check_reduction, row_weights, shift_left
from reference.classification import (
    abdkd_loss_and_gradient,
    ablsd_loss_and_gradient,
    abttm_loss_and_gradient,
    dist_loss_and_gradient,
    dkd_loss_and_gradient,
    kd_loss_and_gradient,
    lsd_loss_and_gradient,
    ttm_loss_and_gradient,
    warm_up,
    weighted_terms,
    wttm_loss_and_gradient,
)
from reference.distributions import reduce_rows
from reference.divergences import ab_divergence_and_gradient
from reference.sequences import SEQUENCE_REDUCTIONS, sequence_loss_and_gradient

__all__ = [
    "SEQUENCE_REDUCTIONS",
    "abdkd_loss_and_gradient",
    "abkd_loss",
    "abkd_loss_and_gradient",
    "ablsd_loss_and_gradient",
    "abttm_loss_and_gradient",
    "cross_entropy",
    "cross_entropy_and_gradient",
    "dist_loss_and_gradient",
    "dkd_loss_and_gradient",
    "kd_loss_and_gradient",
    "lsd_loss_and_gradient",
    "sequence_loss_and_gradient",
    "ttm_loss_and_gradient",
    "warm_up",
    "wttm_loss_and_gradient",
]


def cross_entropy(student_logits: ArrayLike, labels: ArrayLike, **options: Any) -> NDArray | np.float64:
    """Mean of −log softmax(student_logits)[label] over the rows whose label is not `ignore_index`.

    Args:
        student_logits: [..., C].
        labels: integers [...], each a class or `ignore_index`.
        **options: `ignore_index`, label of the rows to leave out, −100 where not given; `weights`, `reduction` and
            `normalizer` of `reference.divergences.ab_divergence`.

    Returns:
        The mean in nats; 0 when no row is left.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    return cross_entropy_and_gradient(student_logits, labels, **options)[0]


def cross_entropy_and_gradient(
    student_logits: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int = -100,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> tuple[NDArray | np.float64, NDArray]:
    """`cross_entropy` and its gradient [..., C] with respect to the student's logits."""
    student, _ = check_logits(student_logits, student_logits)
    classes = student.shape[-1]
    labels = check_labels(labels, student.shape[:-1], classes, ignore_index)
    counted = row_weights(labels.shape, labels != ignore_index, weights)
    used = counted > 0
    losses, gradient = np.zeros(labels.shape), np.zeros_like(student)
    chosen, label = student[used], labels[used][:, None]
    with np.errstate(invalid="ignore"):  # NaN and +inf make their row NaN, as they should
        below = chosen - chosen.max(axis=-1, keepdims=True)
        weights = np.exp(below)
        total = weights.sum(axis=-1, keepdims=True)
        of_chosen = np.log(total) - np.take_along_axis(below, label, axis=-1)
        slope = weights / total
    # q_y − 1 as minus the sum of the others keeps its digits when the student is sure.
    others = weights.copy()
    np.put_along_axis(others, label, 0.0, axis=-1)
    np.put_along_axis(slope, label, -others.sum(axis=-1, keepdims=True) / total, axis=-1)
    reduced = reduce_rows(of_chosen[:, 0], slope, counted[used], check_reduction(reduction), normalizer)
    losses[used], gradient[used] = reduced if reduction == "none" else (0.0, reduced[1])
    return losses if reduction == "none" else reduced[0], gradient


def abkd_loss(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    ignore_index: int = -100,
    shift: bool = False,
    **options: Any,
) -> NDArray | np.float64:
    """The training loss of Eq. 7.

    Args:
        student_logits: [..., C].
        teacher_logits: [..., C].
        labels: integers [...], each a class or `ignore_index`; labels[t] is the class that logits[t] predicts.
        alpha: α, any real number.
        beta: β, any real number.
        temperature: T > 0 of the divergence.
        distill_weight: weight of the divergence; a term of weight 0 is left out.
        hard_weight: weight of the cross-entropy; likewise.
        ignore_index: label of the rows that both terms leave out.
        shift: the labels [..., tokens] are the input ids, so that logits[t] predicts labels[t + 1]; so do the weights.
        **options: `weights`, `reduction` and `normalizer` of `reference.divergences.ab_divergence`, for both terms.

    Returns:
        The loss; 0 when no row is left.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    return abkd_loss_and_gradient(
        student_logits,
        teacher_logits,
        labels,
        alpha,
        beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
        ignore_index=ignore_index,
        shift=shift,
        **options,
    )[0]


def abkd_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    ignore_index: int = -100,
    shift: bool = False,
    weights: ArrayLike | None = None,
    **options: Any,
) -> tuple[NDArray | np.float64, NDArray]:
    """`abkd_loss` and its gradient [..., C] with respect to the student's logits."""
    distill_weight = check_real("distill_weight", distill_weight)
    hard_weight = check_real("hard_weight", hard_weight)
    student, teacher = check_logits(student_logits, teacher_logits)
    if shift:
        labels, weights = shift_left(labels, weights, ignore_index)
    used = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index) != ignore_index
    counted = row_weights(used.shape, used, weights)
    hard = cross_entropy_and_gradient(student, labels, ignore_index=ignore_index, weights=counted, **options)
    soft = ab_divergence_and_gradient(student, teacher, alpha, beta, temperature=temperature, weights=counted, **options)
    return weighted_terms((hard_weight, hard), (distill_weight, soft))
