"""Distillation terms for classification in float64 NumPy: what each method adds to the cross-entropy.

p is the teacher's distribution, q the student's. Each function returns the loss and its gradient with respect to the
student's logits [..., C]; weights of the term and of the cross-entropy are the caller's. Defaults are published values,
except α = 0.8, β = 0.3 of the rectified methods, which this project declares.

`options` are `weights` [...], `reduction` and `normalizer` of `reference.divergences.ab_divergence`. Rows of weight 0
and, of functions with labels, those whose label is `ignore_index` count as absent, whatever they hold.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import (
    check_labels,
    check_logits,
    check_positive,
    check_real,
    check_reduction,
    check_temperature,
    row_weights,
)
from reference.distributions import reduce_rows
from reference.divergences import ab_divergence_and_gradient

Result = tuple[NDArray | np.float64, NDArray]


def kd_loss_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, temperature: float = 4.0, **options: Any
) -> Result:
    """T² KL(p‖q). Source: Hinton et al., 2015 (arXiv 1503.02531)."""
    factor = _squared(temperature)
    value, gradient = ab_divergence_and_gradient(student_logits, teacher_logits, 1, 0, temperature=temperature, **options)
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
    **options: Any,
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
        **options,
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
    weights: ArrayLike | None = None,
    **options: Any,
) -> Result:
    """`dkd_loss` with D_AB(α, β) in place of the KL divergence within the rest; the one factor T² stays.

    Where teacher or student gives the label everything (−inf at all other classes, or no other class), a row has no rest:
    the first term alone counts. A term of weight 0 is left out, as 0 · ∞ would be no number.
    """
    factor, temperature = _squared(temperature), check_temperature(temperature)
    target_weight = check_real("target_weight", target_weight)
    non_target_weight = check_real("non_target_weight", non_target_weight)
    student, teacher = check_logits(student_logits, teacher_logits)
    labels = check_labels(labels, student.shape[:-1], student.shape[-1], ignore_index)
    counted = row_weights(labels.shape, labels != ignore_index, weights)
    used = counted[..., None] > 0
    student, teacher = np.where(used, student, 0.0), np.where(used, teacher, 0.0)
    is_target = np.arange(student.shape[-1]) == labels[..., None]
    (student_pair, student_rest, shares), (teacher_pair, teacher_rest, _) = (
        _split(logits, is_target, temperature) for logits in (student, teacher)
    )
    alone = np.isneginf(student_rest).all(-1, keepdims=True) | np.isneginf(teacher_rest).all(-1, keepdims=True)
    student_rest, teacher_rest = np.where(alone, 0.0, student_rest), np.where(alone, 0.0, teacher_rest)
    options = {"weights": counted, **options}
    pair, pair_slope = ab_divergence_and_gradient(student_pair, teacher_pair, 1, 0, **options)
    pair_slope = np.where(is_target, pair_slope[..., :1], pair_slope[..., 1:] * shares) / temperature
    rest = ab_divergence_and_gradient(student_rest, teacher_rest, alpha, beta, temperature=temperature, **options)
    value, gradient = weighted_terms((target_weight, (pair, pair_slope)), (non_target_weight, rest))
    return factor * value, factor * np.where(used, gradient, 0.0)


def weighted_terms(*terms: tuple[float, Result]) -> Result:
    """Σ weight · term, of values and of gradients; a term of weight 0 is left out, as 0 · ∞ would be no number."""
    value, gradient = (np.zeros_like(part) for part in terms[0][1])
    for weight, term in terms:
        if weight != 0:
            value, gradient = value + weight * term[0], gradient + weight * term[1]
    return value, gradient


def warm_up(epoch: float, *, epochs: float = 20.0) -> float:
    """DKD's factor min(epoch / epochs, 1) in epoch 1, 2, …; 1 where `epochs` is 0."""
    return min(epoch / epochs, 1.0) if epochs else 1.0


def lsd_loss_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, temperature: float = 2.0, **options: Any
) -> Result:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes, std with C − 1.

    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024 (arXiv 2403.01427).
    """
    return ablsd_loss_and_gradient(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature, **options)


def ablsd_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 2.0,
    weights: ArrayLike | None = None,
    **options: Any,
) -> Result:
    """`lsd_loss` with D_AB(α, β) in place of the KL divergence; the one factor T² stays."""
    factor = _squared(temperature)
    student, teacher, counted = _counted_rows(student_logits, teacher_logits, weights)
    centred, deviation = _centred(student)
    scale = 1e-7 + deviation
    value, slope = ab_divergence_and_gradient(
        centred / scale, _standardised(teacher), alpha, beta, temperature=temperature, weights=counted, **options
    )
    # the standard deviation's own derivative is c / ((C − 1) std), 0 where std is 0
    along = (slope * centred).sum(axis=-1, keepdims=True) / np.where(deviation > 0, deviation, np.inf)
    gradient = slope / scale - along * centred / (scale**2 * max(student.shape[-1] - 1, 1))
    gradient = gradient - gradient.mean(axis=-1, keepdims=True)
    return factor * value, factor * gradient


def ttm_loss_and_gradient(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, gamma: float = 0.1, **options: Any
) -> Result:
    """KL(p̃‖q), p̃ ∝ p^γ, the student at temperature 1. Source: Zheng & Yang, ICLR 2024 (arXiv 2402.11148)."""
    return abttm_loss_and_gradient(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma, **options)


def abttm_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    gamma: float = 0.1,
    **options: Any,
) -> Result:
    """`ttm_loss` with D_AB(α, β) in place of the KL divergence."""
    student, teacher = check_logits(student_logits, teacher_logits)
    return ab_divergence_and_gradient(student, check_positive("gamma", gamma) * teacher, alpha, beta, **options)


def wttm_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    gamma: float = 0.1,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> Result:
    """`ttm_loss` with each row multiplied by v = Σ p^γ: the mean is Σ W v KL / Σ W with W = `weights`.

    Source: Zheng & Yang, ICLR 2024 (arXiv 2402.11148).
    """
    gamma = check_positive("gamma", gamma)
    student, teacher, counted = _counted_rows(student_logits, teacher_logits, weights)
    below = teacher - teacher.max(axis=-1, keepdims=True)
    powers = np.exp(gamma * below).sum(axis=-1) / np.exp(below).sum(axis=-1) ** gamma
    values, gradient = ab_divergence_and_gradient(student, gamma * teacher, 1, 0, mask=counted > 0, reduction="none")
    return reduce_rows(powers * values, powers[..., None] * gradient, counted, check_reduction(reduction), normalizer)


def dist_loss_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    temperature: float = 4.0,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> Result:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ), 1e-8 in the denominator.

    Leading axes count as one axis of rows. A row of weight w counts as w rows would: in the mean over rows, and in the
    sums over rows within the columns' correlations. Columns correlate over the whole batch, so that values of parts do not
    add up: reduction "mean" is the only one, and there is no normalizer. 0 without rows. Source: Huang et al., NeurIPS
    2022 (arXiv 2205.10536).
    """
    if reduction != "mean" or normalizer is not None:
        raise ValueError(f"reduction is {reduction!r}, normalizer {normalizer!r}; of this loss there is only the mean")
    factor = _squared(temperature)
    student, teacher = check_logits(student_logits, teacher_logits)
    counted = row_weights(student.shape[:-1], None, weights)
    used = counted > 0
    gradient = np.zeros_like(student)
    if not used.any():
        return np.float64(0.0), gradient
    q, p = (_softmax(logits[used] / check_temperature(temperature)) for logits in (student, teacher))
    counted = counted[used][:, None]
    rows, row_slope = _lack_of_correlation(q, p, 1, np.ones_like(counted), counted)
    columns, column_slope = _lack_of_correlation(q, p, 0, counted, np.ones_like(counted[:1]))
    slope = row_slope + column_slope
    gradient[used] = q * (slope - (q * slope).sum(axis=-1, keepdims=True)) * temperature
    return factor * (rows + columns), gradient


def _squared(temperature: float) -> float:
    """T², a factor of the loss; ValueError where it is no float."""
    temperature = check_temperature(temperature)
    if not np.finfo(np.float64).tiny <= temperature * temperature < np.inf:
        raise ValueError(f"temperature is {temperature!r}; its square, a factor of the loss, must be a float above 0")
    return temperature**2


def _counted_rows(
    student_logits: ArrayLike, teacher_logits: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Both logits, 0 in rows of weight 0, which may hold anything; and what each row counts."""
    student, teacher = check_logits(student_logits, teacher_logits)
    counted = row_weights(student.shape[:-1], None, weights)
    return *(np.where(counted[..., None] > 0, logits, 0.0) for logits in (student, teacher)), counted


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


def _lack_of_correlation(q: NDArray, p: NDArray, axis: int, weights: NDArray, counts: NDArray) -> tuple[np.float64, NDArray]:
    """Mean of 1 − Pearson's correlation along an axis, 1e-8 added to its denominator; and its derivative in q.

    |a||b| − a·b = ½ |a||b| (a/|a| − b/|b|)² keeps its digits where both nearly agree.

    Args:
        q, p: [rows, C].
        axis: that the correlations are taken along.
        weights: [rows, 1] of the entries along it.
        counts: of each correlation in the mean, [rows, 1] or [1, 1].
    """

    def total(x: NDArray) -> NDArray:
        return (weights * x).sum(axis=axis, keepdims=True)

    whole = total(np.ones_like(q))
    a, b = (x - total(x) / whole for x in (q, p))
    size_a, size_b = (np.sqrt(total(x**2)) for x in (a, b))
    unit_a, unit_b = (x / np.where(size > 0, size, 1.0) for x, size in ((a, size_a), (b, size_b)))
    product = size_a * size_b
    lack = (product * total((unit_a - unit_b) ** 2) / 2 + 1e-8) / (product + 1e-8)
    slope = weights * -(b - (1 - lack) * size_b * unit_a) / (product + 1e-8)
    number = (counts * np.ones_like(lack)).sum()
    slope = counts * (slope - weights * (slope.sum(axis=axis, keepdims=True) / whole))
    return (counts * lack).sum() / number, slope / number
