"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

p is the teacher's distribution, q the student's, T the temperature. All are means over rows, float64 for float64
students, else float32, and differentiable once with respect to the student's logits; the teacher is a constant.
Parameters have the published values as defaults, and may be scalar tensors, held constant. The divergences within are those
of the catalogue.

All have the keywords

    weights: `[...]`, real, finite, ≥ 0, a constant: W of each row, 1 if None; rows of weight 0 are absent, whatever they
        hold. Rows whose label is `ignore_index` are so too.
    reduction: "mean", Σ W · value / Σ W, 0 where no row counts; "sum", Σ W · value; or "none" (`[...]`, W · value).
    normalizer: a positive number or scalar tensor by which the sum is divided in place of Σ W: with that of the whole batch
        (`num_items_in_batch`) the losses of its parts add up to the batch's.
"""

import torch

from ...common.arguments import (
    IGNORED_LABEL,
    check_number,
    check_positive,
    check_reduction,
    check_squared_temperature,
    check_whole_batch,
)
from .alpha_beta import packed_ab_divergence
from .differentiable import Normalizer, check_arguments, check_logits, row_weights
from .labels import check_labels, counted_rows
from .operands import Check, Number, check_factor, constant, pack
from .rows import compute_type


def kd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 4.0,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """T² KL(p‖q). Hinton et al., 2015.

    Args:
        student_logits, teacher_logits: `[..., C]`.
        temperature: T > 0 of both.
    """
    student, teacher, weight = check_arguments(student_logits, teacher_logits, None, weights, reduction, normalizer)
    factor = _squared(temperature, student)
    return factor * packed_ab_divergence(student, teacher, pack(1.0, 0.0, temperature), weight, reduction)


def dkd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL within the rest]. DKD, Zhao et al., 2022.

    The published weights of the second term are 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4) and 6 (WRN, VGG);
    training multiplies the whole by `warm_up`.

    Args:
        student_logits, teacher_logits: `[..., C]`.
        labels: `[...]`, target classes, or `ignore_index` for rows that do not count.
        temperature: T > 0 of both.
        target_weight, non_target_weight: of the two terms.
        ignore_index: label of rows that do not count.
    """
    return abdkd_loss(
        student_logits,
        teacher_logits,
        labels,
        alpha=1.0,
        beta=0.0,
        temperature=temperature,
        target_weight=target_weight,
        non_target_weight=non_target_weight,
        ignore_index=ignore_index,
        weights=weights,
        reduction=reduction,
        normalizer=normalizer,
    )


def abdkd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """`dkd_loss` with D_AB(alpha, beta) in place of the KL divergence within the rest; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    labels, valid = check_labels(labels, student, ignore_index)
    factor, temperature = _squared(temperature, student), _constant("temperature", temperature, check_positive, student)
    target_weight = _constant("target_weight", target_weight, check_number, student)
    non_target_weight = _constant("non_target_weight", non_target_weight, check_number, student)
    weight = row_weights(student, valid, weights, check_reduction(reduction), normalizer)
    # rows that do not count may hold NaN, whose derivative must not arrive either
    counts = valid if weights is None else weight > 0
    student, teacher = (counted_rows(z, labels, counts) for z in (student, teacher))
    target = torch.arange(student.shape[-1], device=student.device) == labels[..., None]
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (_split(z, target, temperature) for z in (student, teacher))
    pair = packed_ab_divergence(student_pair, teacher_pair, pack(1.0, 0.0, 1.0), weight, reduction)
    # rows without another class, or whose label has all of a side, have nothing within the rest
    alone = (student_pair[..., 1] == -torch.inf) | (teacher_pair[..., 1] == -torch.inf)
    of_rest = torch.where(alone, 0.0, weight)
    rest = packed_ab_divergence(student_rest, teacher_rest, pack(alpha, beta, temperature), of_rest, reduction)
    return factor * _weighted_sum((target_weight, pair), (non_target_weight, rest))


def lsd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 2.0,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes. LSD, Sun et al., 2024.

    Args:
        student_logits, teacher_logits: `[..., C]`, all finite.
        temperature: T > 0, of the standardised logits.
    """
    options = {"weights": weights, "reduction": reduction, "normalizer": normalizer}
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature, **options)


def ablsd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 2.0,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """`lsd_loss` with D_AB(alpha, beta) in place of the KL divergence; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    factor = _squared(temperature, student)
    weight = row_weights(student, None, weights, check_reduction(reduction), normalizer)
    student, teacher = (_standardised(_present_rows(z, weights, weight)) for z in (student, teacher))
    return factor * packed_ab_divergence(student, teacher, pack(alpha, beta, temperature), weight, reduction)


def ttm_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    gamma: float = 0.1,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """KL(p̃‖q), p̃ ∝ p^γ, all at temperature 1. TTM, Zheng and Yang, 2024.

    Args:
        student_logits, teacher_logits: `[..., C]`.
        gamma: γ > 0.
    """
    options = {"weights": weights, "reduction": reduction, "normalizer": normalizer}
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma, **options)


def abttm_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    gamma: float = 0.1,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """`ttm_loss` with D_AB(alpha, beta) in place of the KL divergence."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    gamma = _constant("gamma", gamma, check_positive, student)
    weight = row_weights(student, None, weights, check_reduction(reduction), normalizer)
    return packed_ab_divergence(student, gamma * _within(teacher, gamma), pack(alpha, beta, 1.0), weight, reduction)


def wttm_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    gamma: float = 0.1,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """`ttm_loss` with each row's value multiplied by its v = Σ p^γ, the mean being Σ W v KL / Σ W. WTTM, Zheng, Yang, 2024."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    gamma = _constant("gamma", gamma, check_positive, student)
    weight = row_weights(student, None, weights, check_reduction(reduction), normalizer)
    teacher = _within(_present_rows(teacher, weights, weight), gamma)
    below = teacher - teacher.amax(-1, keepdim=True)
    powers = torch.exp((gamma * below).logsumexp(-1) - gamma * below.logsumexp(-1))
    if weights is None and reduction == "mean" and normalizer is None:
        rows = packed_ab_divergence(student, gamma * teacher, pack(1.0, 0.0, 1.0), torch.ones_like(weight), "none")
        return (powers * rows).sum() / max(rows.numel(), 1)
    rows = powers * packed_ab_divergence(student, gamma * teacher, pack(1.0, 0.0, 1.0), weight, "none")
    return rows if reduction == "none" else rows.sum()


def dist_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float = 4.0,
    weights: torch.Tensor | None = None,
    reduction: str = "mean",
    normalizer: Normalizer | None = None,
) -> torch.Tensor:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ). DIST, Huang et al., 2022.

    The correlations have 1e-8 in the denominator. A row of weight w counts as w rows would. Columns correlate over the whole
    batch, so there is only the mean, and no normalizer; without rows the loss is 0.

    Args:
        student_logits, teacher_logits: `[..., C]`; leading axes count as one axis of rows.
        temperature: τ > 0.
    """
    check_whole_batch(reduction, normalizer)
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    factor, temperature = _squared(temperature, student), _constant("temperature", temperature, check_positive, student)
    counts = None if weights is None else row_weights(student, None, weights, "sum").reshape(-1, 1)
    student, teacher = (z.reshape(-1, z.shape[-1]) for z in (student, teacher))
    if counts is not None:
        student, teacher = (torch.where(counts > 0, z, 0.0) for z in (student, teacher))
    if not student.shape[0]:
        return factor * student.sum()
    q, p = ((_within(z, 1 / temperature) / temperature).softmax(-1) for z in (student, teacher))
    of_rows, of_columns = _lack_of_correlation(q, p, -1), _lack_of_correlation(q, p, 0, counts)
    if counts is None:
        return factor * (of_rows.mean() + of_columns.mean())
    total = counts.sum()
    mean = (of_rows * counts[:, 0]).sum() / torch.where(total > 0, total, 1.0) + of_columns.mean()
    return factor * torch.where(total > 0, mean, 0.0)


def _squared(temperature: Number, student: torch.Tensor) -> Number:
    """T², a factor of the loss; a ValueError where it is beyond the computing type's range."""
    limits = torch.finfo(compute_type(student.dtype))

    def check(_: str, value: float) -> float:
        return check_squared_temperature(value, limits.tiny, limits.max)

    return _constant("temperature", temperature, check, student) ** 2


def _constant(name: str, value: Number, check: Check, student: torch.Tensor) -> Number:
    """`constant` to calculate with: where it is a scalar tensor, of the computing type and on the student's device."""
    number, dtype = constant(name, value, check), compute_type(student.dtype)
    return number.to(student.device, dtype) if isinstance(number, torch.Tensor) else check_factor(name, number, dtype)


def _in_computing_type(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both logits in the computing type, the teacher's as a constant."""
    check_logits(student_logits, teacher_logits)
    dtype = compute_type(student_logits.dtype)
    return student_logits.to(dtype), teacher_logits.detach().to(dtype)


def _present_rows(logits: torch.Tensor, weights: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor:
    """Logits with zeros in rows of weight 0, which may hold anything."""
    return logits if weights is None else torch.where(weight[..., None] > 0, logits, 0.0)


def _weighted_sum(*terms: tuple[Number, torch.Tensor]) -> torch.Tensor:
    """Σ weight · term; a term of weight 0 is left out, as 0 · ∞ would be no number."""
    first, second = (torch.where(torch.zeros_like(term) + weight == 0, 0.0, weight * term) for weight, term in terms)
    return first + second


def _within(logits: torch.Tensor, factor: Number) -> torch.Tensor:
    """Logits; those relative to their row's largest where times the factor they would leave the type's range."""
    largest = logits.detach().amax(-1, keepdim=True)
    beyond = torch.isinf(largest * factor) & torch.isfinite(largest)
    return logits - torch.where(beyond, largest, 0.0)


def _split(logits: torch.Tensor, target: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of (target, all others) at the temperature, `[..., 2]`, and the logits with the target forbidden."""
    logits = _within(logits, 1 / temperature)
    others = torch.where(target, -torch.inf, logits)
    own = torch.where(target, logits, 0.0).sum(-1) / temperature
    nothing = (others == -torch.inf).all(-1, keepdim=True)
    # the logarithm's slope is no number where nothing is left
    total = (torch.where(nothing, 0.0, others) / temperature).logsumexp(-1)
    total = torch.where(nothing[..., 0], -torch.inf, total)
    return torch.stack([own, total], dim=-1), others


def _standardised(logits: torch.Tensor) -> torch.Tensor:
    """(z − mean)/(1e-7 + std) over classes, the standard deviation with classes − 1 in the denominator.

    Logits whose squares might leave the type's range are made smaller before; they are standardised all the same.
    """
    largest = logits.detach().abs().amax(-1, keepdim=True)
    limit = torch.finfo(logits.dtype).max ** 0.4
    logits = logits * torch.where(largest > limit, limit / largest, 1.0)
    centred = logits - logits.mean(-1, keepdim=True)
    variance = (centred * centred).sum(-1, keepdim=True) / max(logits.shape[-1] - 1, 1)
    return centred / (1e-7 + _root(variance))


def _lack_of_correlation(x: torch.Tensor, y: torch.Tensor, axis: int, counts: torch.Tensor | None = None) -> torch.Tensor:
    """1 − Pearson's correlation along an axis, with 1e-8 added to its denominator; counts weigh the entries along it.

    With |x||y| − x·y = ½ |x||y| (x/|x| − y/|y|)², which keeps its digits where both nearly agree.
    """
    if counts is None:
        x, y = (z - z.mean(axis, keepdim=True) for z in (x, y))
    else:
        total = counts.sum().clamp(min=torch.finfo(x.dtype).tiny)
        x, y = (counts.sqrt() * (z - (counts * z).sum(axis, keepdim=True) / total) for z in (x, y))
    size_x, size_y = (_root((z * z).sum(axis, keepdim=True)) for z in (x, y))
    unit_x, unit_y = (z / torch.where(size == 0, 1.0, size) for z, size in ((x, size_x), (y, size_y)))
    product = (size_x * size_y).squeeze(axis)
    return (product * ((unit_x - unit_y) ** 2).sum(axis) / 2 + 1e-8) / (product + 1e-8)


def _root(square: torch.Tensor) -> torch.Tensor:
    """The square root, with slope 0 at 0."""
    return torch.where(square == 0, 0.0, torch.where(square == 0, 1.0, square).sqrt())
