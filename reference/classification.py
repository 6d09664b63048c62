"""Distillation terms for classification in float64 NumPy: what each method adds to the cross-entropy.

p is the teacher's distribution, q the student's. Each function returns the mean over rows and its gradient with respect
to the student's logits [..., C]; weights of the term and of the cross-entropy are the caller's. Defaults are published
values, except α = 0.8, β = 0.3 of the rectified methods, which this project declares.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_labels, check_logits, check_positive, check_real, check_temperature
from reference.divergences import ab_divergence_and_gradient

Result = tuple[np.float64, NDArray]


def kd_loss_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, *, temperature: float = 4.0) -> Result:
    """T² KL(p‖q). Source: Hinton et al., 2015 (arXiv 1503.02531)."""
    factor = check_temperature(temperature) ** 2
    value, gradient = ab_divergence_and_gradient(student_logits, teacher_logits, 1, 0, temperature=temperature)
    return factor * value, factor * gradient


def dkd_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = -100,
) -> Result:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL within the rest].

    Published weights of the second term: 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4), 6 (WRN, VGG); training
    multiplies the whole by `warm_up`. Source: Zhao et al., CVPR 2022 (arXiv 2203.08679).
    """
    return abdkd_loss_and_gradient(
        student_logits,
        teacher_logits,
        labels,
        alpha=1.0,
        beta=0.0,
        temperature=temperature,
        target_weight=target_weight,
        non_target_weight=non_target_weight,
        ignore_index=ignore_index,
    )


def abdkd_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = -100,
) -> Result:
    """`dkd_loss` with D_AB(α, β) in place of the KL divergence within the rest; the one factor T² stays."""
    temperature = check_temperature(temperature)
    target_weight = check_real("target_weight", target_weight)
    non_target_weight = check_real("non_target_weight", non_target_weight)
    student, teacher = check_logits(student_logits, teacher_logits)
    labels = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index)
    used = labels != ignore_index
    is_target = np.arange(student.shape[-1]) == labels[..., None]
    (student_pair, rest_student, shares), (teacher_pair, rest_teacher, _) = (
        _split(logits, is_target, temperature) for logits in (student, teacher)
    )
    pair, pair_slope = ab_divergence_and_gradient(student_pair, teacher_pair, 1, 0, mask=used)
    rest, rest_slope = ab_divergence_and_gradient(rest_student, rest_teacher, alpha, beta, temperature=temperature, mask=used)
    pair_slope = np.where(is_target, pair_slope[..., :1], pair_slope[..., 1:] * shares) / temperature
    value = target_weight * pair + non_target_weight * rest
    gradient = np.where(used[..., None], target_weight * pair_slope + non_target_weight * rest_slope, 0.0)
    return temperature**2 * value, temperature**2 * gradient


def warm_up(epoch: float, *, epochs: float = 20.0) -> float:
    """DKD's factor min(epoch / epochs, 1) in epoch 1, 2, …; 1 where `epochs` is 0."""
    return min(epoch / epochs, 1.0) if epochs else 1.0


def lsd_loss_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, *, temperature: float = 2.0) -> Result:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes, std with C − 1.

    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024 (arXiv 2403.01427).
    """
    return ablsd_loss_and_gradient(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature)


def ablsd_loss_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, alpha: float = 0.8, beta: float = 0.3, temperature: float = 2.0
) -> Result:
    """`lsd_loss` with D_AB(α, β) in place of the KL divergence; the one factor T² stays."""
    temperature = check_temperature(temperature)
    student, teacher = check_logits(student_logits, teacher_logits)
    centred, deviation = _centred(student)
    scale = 1e-7 + deviation
    value, slope = ab_divergence_and_gradient(centred / scale, _standardised(teacher), alpha, beta, temperature=temperature)
    # the standard deviation's own derivative is c / ((C − 1) std), 0 where std is 0
    along = (slope * centred).sum(axis=-1, keepdims=True) / np.where(deviation > 0, deviation, np.inf)
    gradient = slope / scale - along * centred / (scale**2 * max(student.shape[-1] - 1, 1))
    gradient = gradient - gradient.mean(axis=-1, keepdims=True)
    return temperature**2 * value, temperature**2 * gradient


def ttm_loss_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, *, gamma: float = 0.1) -> Result:
    """KL(p̃‖q), p̃ ∝ p^γ, the student at temperature 1. Source: Zheng & Yang, ICLR 2024 (arXiv 2402.11148)."""
    return abttm_loss_and_gradient(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma)


def abttm_loss_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, alpha: float = 0.8, beta: float = 0.3, gamma: float = 0.1
) -> Result:
    """`ttm_loss` with D_AB(α, β) in place of the KL divergence."""
    student, teacher = check_logits(student_logits, teacher_logits)
    return ab_divergence_and_gradient(student, check_positive("gamma", gamma) * teacher, alpha, beta)


def wttm_loss_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, *, gamma: float = 0.1) -> Result:
    """`ttm_loss` with each row weighted by Σ p^γ. Source: Zheng & Yang, ICLR 2024 (arXiv 2402.11148)."""
    gamma = check_positive("gamma", gamma)
    student, teacher = check_logits(student_logits, teacher_logits)
    below = teacher - teacher.max(axis=-1, keepdims=True)
    weights = np.exp(gamma * below).sum(axis=-1) / np.exp(below).sum(axis=-1) ** gamma
    values, gradient = ab_divergence_and_gradient(student, gamma * teacher, 1, 0, reduction="none")
    count = max(values.size, 1)
    return np.sum(weights * values) / count, weights[..., None] * gradient / count


def dist_loss_and_gradient(student_logits: ArrayLike, teacher_logits: ArrayLike, *, temperature: float = 4.0) -> Result:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ), 1e-8 in the denominator.

    Leading axes count as one axis of rows. Source: Huang et al., NeurIPS 2022 (arXiv 2205.10536).
    """
    temperature = check_temperature(temperature)
    student, teacher = check_logits(student_logits, teacher_logits)
    q, p = (_softmax(logits.reshape(-1, logits.shape[-1]) / temperature) for logits in (student, teacher))
    rows, row_slope = _lack_of_correlation(q, p, axis=1)
    columns, column_slope = _lack_of_correlation(q, p, axis=0)
    slope = row_slope + column_slope
    gradient = q * (slope - (q * slope).sum(axis=-1, keepdims=True)) * temperature
    return temperature**2 * (rows + columns), gradient.reshape(student.shape)


def _split(logits: NDArray, is_target: NDArray, temperature: float) -> tuple[NDArray, NDArray, NDArray]:
    """Logits of (target, rest) at temperature 1, logits with the target forbidden, softmax of those."""
    rest = np.where(is_target, -np.inf, logits)
    top = rest.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    weights = np.exp((rest - top) / temperature)
    total = weights.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):  # no other class: a rest of probability 0
        rest_logit = np.log(total) + top / temperature
    target_logit = np.where(is_target, logits, 0.0).sum(axis=-1, keepdims=True) / temperature
    return np.concatenate([target_logit, rest_logit], axis=-1), rest, weights / np.where(total > 0, total, 1.0)


def _centred(logits: NDArray) -> tuple[NDArray, NDArray]:
    """z − mean and the standard deviation [..., 1] with C − 1 in the denominator."""
    centred = logits - logits.mean(axis=-1, keepdims=True)
    return centred, np.sqrt((centred**2).sum(axis=-1, keepdims=True) / max(logits.shape[-1] - 1, 1))


def _standardised(logits: NDArray) -> NDArray:
    centred, deviation = _centred(logits)
    return centred / (1e-7 + deviation)


def _softmax(logits: NDArray) -> NDArray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _lack_of_correlation(q: NDArray, p: NDArray, axis: int) -> tuple[np.float64, NDArray]:
    """Mean of 1 − Pearson's correlation along an axis, 1e-8 added to its denominator; and its derivative in q.

    |a||b| − a·b = ½ |a||b| (a/|a| − b/|b|)² keeps its digits where both nearly agree.
    """
    a, b = (x - x.mean(axis=axis, keepdims=True) for x in (q, p))
    size_a, size_b = (np.sqrt((x**2).sum(axis=axis, keepdims=True)) for x in (a, b))
    unit_a, unit_b = (x / np.where(size > 0, size, 1.0) for x, size in ((a, size_a), (b, size_b)))
    product = size_a * size_b
    lack = (product * ((unit_a - unit_b) ** 2).sum(axis=axis, keepdims=True) / 2 + 1e-8) / (product + 1e-8)
    slope = -(b - (1 - lack) * size_b * unit_a) / (product + 1e-8)
    count = max(lack.size, 1)
    return lack.sum() / count, (slope - slope.mean(axis=axis, keepdims=True)) / count
