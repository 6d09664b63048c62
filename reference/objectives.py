"""Training objectives in float64 NumPy; those for classification and for sequences are taken in by name.

The training loss of the paper (Eq. 7) is cross-entropy with hard labels plus a weighted divergence:

    hard_weight · CE(student_logits, labels) + distill_weight · D_AB(teacher ‖ student; α, β, T)

The cross-entropy is at temperature 1, both terms are means over the rows whose label is not `ignore_index`, and no
factor T² is applied. Source: Wang et al., ICML 2025 (arXiv 2505.04560).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_labels, check_logits, check_real
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
    wttm_loss_and_gradient,
)
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


def cross_entropy(student_logits: ArrayLike, labels: ArrayLike, *, ignore_index: int = -100) -> np.float64:
    """Mean of −log softmax(student_logits)[label] over the rows whose label is not `ignore_index`.

    Args:
        student_logits: [..., C].
        labels: integers [...], each a class or `ignore_index`.
        ignore_index: label of the rows to leave out.

    Returns:
        The mean in nats; 0 when no row is left.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    return cross_entropy_and_gradient(student_logits, labels, ignore_index=ignore_index)[0]


def cross_entropy_and_gradient(
    student_logits: ArrayLike, labels: ArrayLike, *, ignore_index: int = -100
) -> tuple[np.float64, NDArray]:
    """`cross_entropy` and its gradient [..., C] with respect to the student's logits."""
    student, _ = check_logits(student_logits, student_logits)
    classes = student.shape[-1]
    labels = check_labels(labels, student.shape[:-1], classes, ignore_index)
    used = labels != ignore_index
    gradient = np.zeros_like(student)
    if not used.any():
        return np.float64(0.0), gradient
    chosen, label = student[used], labels[used][:, None]
    with np.errstate(invalid="ignore"):  # NaN and +inf make their row NaN, as they should
        below = chosen - chosen.max(axis=-1, keepdims=True)
        weights = np.exp(below)
        total = weights.sum(axis=-1, keepdims=True)
        losses = np.log(total) - np.take_along_axis(below, label, axis=-1)
        slope = weights / total
    # q_y − 1 as minus the sum of the others keeps its digits when the student is sure.
    others = weights.copy()
    np.put_along_axis(others, label, 0.0, axis=-1)
    np.put_along_axis(slope, label, -others.sum(axis=-1, keepdims=True) / total, axis=-1)
    gradient[used] = slope / len(chosen)
    return losses.mean(), gradient


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
) -> np.float64:
    """The training loss of Eq. 7.

    Args:
        student_logits: [..., C].
        teacher_logits: [..., C].
        labels: integers [...], each a class or `ignore_index`.
        alpha: α, any real number.
        beta: β, any real number.
        temperature: T > 0 of the divergence.
        distill_weight: weight of the divergence; a term of weight 0 is left out.
        hard_weight: weight of the cross-entropy; likewise.
        ignore_index: label of the rows that both terms leave out.

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
) -> tuple[np.float64, NDArray]:
    """`abkd_loss` and its gradient [..., C] with respect to the student's logits."""
    distill_weight = check_real("distill_weight", distill_weight)
    hard_weight = check_real("hard_weight", hard_weight)
    student, teacher = check_logits(student_logits, teacher_logits)
    used = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index) != ignore_index
    hard, hard_gradient = cross_entropy_and_gradient(student, labels, ignore_index=ignore_index)
    soft, soft_gradient = ab_divergence_and_gradient(student, teacher, alpha, beta, temperature=temperature, mask=used)
    loss, gradient = np.float64(0.0), np.zeros_like(student)
    for weight, value, slope in ((hard_weight, hard, hard_gradient), (distill_weight, soft, soft_gradient)):
        if weight != 0:  # 0 · inf would be NaN
            loss, gradient = loss + weight * value, gradient + weight * slope
    return loss, gradient
