"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

p is the teacher's distribution, q the student's, T the temperature. All are means over rows, float64 for float64
students, else float32, and differentiable once with respect to the student's logits; the teacher is a constant.
Parameters have the published values as defaults. The divergences within are those of the
catalogue.
"""

import torch

from ...common.arguments import IGNORED_LABEL, check_number, check_positive, check_shapes, check_temperature
from .alpha_beta import ab_divergence
from .catalogue import forward_kl
from .labels import check_labels
from .rows import compute_type


def kd_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float = 4.0) -> torch.Tensor:
    """T² KL(p‖q). Hinton et al., 2015.

    Args:
        student_logits, teacher_logits: `[..., C]`.
        temperature: T > 0 of both.
    """
    return temperature**2 * forward_kl(student_logits, teacher_logits, temperature=temperature)


def dkd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 2.0,
    ignore_index: int = IGNORED_LABEL,
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
) -> torch.Tensor:
    """`dkd_loss` with D_AB(alpha, beta) in place of the KL divergence within the rest; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    labels = check_labels(labels, student)
    temperature = check_temperature(temperature)
    target_weight = check_number("target_weight", target_weight)
    non_target_weight = check_number("non_target_weight", non_target_weight)
    valid = labels != ignore_index
    target = torch.arange(student.shape[-1], device=student.device) == labels[..., None]
    # rows that do not count may hold NaN, whose derivative must not arrive either
    student, teacher = (torch.where(valid[..., None], z, 0.0) for z in (student, teacher))
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (_split(z, target, temperature) for z in (student, teacher))
    pair = forward_kl(student_pair, teacher_pair, mask=valid)
    # rows without another class have nothing within the rest
    counts = valid if student.shape[-1] > 1 else torch.zeros_like(valid)
    rest = ab_divergence(student_rest, teacher_rest, alpha, beta, temperature=temperature, mask=counts)
    return temperature**2 * (target_weight * pair + non_target_weight * rest)


def lsd_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float = 2.0) -> torch.Tensor:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes. LSD, Sun et al., 2024.

    Args:
        student_logits, teacher_logits: `[..., C]`, all finite.
        temperature: T > 0, of the standardised logits.
    """
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature)


def ablsd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 2.0,
) -> torch.Tensor:
    """`lsd_loss` with D_AB(alpha, beta) in place of the KL divergence; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    value = ab_divergence(_standardised(student), _standardised(teacher), alpha, beta, temperature=temperature)
    return temperature**2 * value


def ttm_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, gamma: float = 0.1) -> torch.Tensor:
    """KL(p̃‖q), p̃ ∝ p^γ, all at temperature 1. TTM, Zheng and Yang, 2024.

    Args:
        student_logits, teacher_logits: `[..., C]`.
        gamma: γ > 0.
    """
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma)


def abttm_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, alpha: float = 0.8, beta: float = 0.3, gamma: float = 0.1
) -> torch.Tensor:
    """`ttm_loss` with D_AB(alpha, beta) in place of the KL divergence."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    return ab_divergence(student, check_positive("gamma", gamma) * teacher, alpha, beta)


def wttm_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, gamma: float = 0.1) -> torch.Tensor:
    """`ttm_loss` with each row weighted by its Σ p^γ before the mean. WTTM, Zheng and Yang, 2024."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    gamma = check_positive("gamma", gamma)
    below = teacher - teacher.amax(-1, keepdim=True)
    weights = torch.exp((gamma * below).logsumexp(-1) - gamma * below.logsumexp(-1))
    rows = forward_kl(student, gamma * teacher, reduction="none")
    return (weights * rows).sum() / max(rows.numel(), 1)


def dist_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float = 4.0) -> torch.Tensor:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ). DIST, Huang et al., 2022.

    The correlations have 1e-8 in the denominator.

    Args:
        student_logits, teacher_logits: `[..., C]`; leading axes count as one axis of rows.
        temperature: τ > 0.
    """
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    temperature = check_temperature(temperature)
    q, p = ((z.reshape(-1, z.shape[-1]) / temperature).softmax(-1) for z in (student, teacher))
    return temperature**2 * (_lack_of_correlation(q, p, -1).mean() + _lack_of_correlation(q, p, 0).mean())


def _in_computing_type(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both logits in the computing type, the teacher's as a constant."""
    check_shapes(student_logits.shape, teacher_logits.shape)
    dtype = compute_type(student_logits.dtype)
    return student_logits.to(dtype), teacher_logits.detach().to(dtype)


def _split(logits: torch.Tensor, target: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of (target, all others) at the temperature, `[..., 2]`, and the logits with the target forbidden."""
    others = torch.where(target, -torch.inf, logits)
    own = torch.where(target, logits, 0.0).sum(-1) / temperature
    total = (others / temperature).logsumexp(-1) if logits.shape[-1] > 1 else torch.full_like(own, -torch.inf)
    return torch.stack([own, total], dim=-1), others


def _standardised(logits: torch.Tensor) -> torch.Tensor:
    """(z − mean)/(1e-7 + std) over classes, the standard deviation with classes − 1 in the denominator."""
    centred = logits - logits.mean(-1, keepdim=True)
    variance = (centred * centred).sum(-1, keepdim=True) / max(logits.shape[-1] - 1, 1)
    return centred / (1e-7 + _root(variance))


def _lack_of_correlation(x: torch.Tensor, y: torch.Tensor, axis: int) -> torch.Tensor:
    """1 − Pearson's correlation along an axis, with 1e-8 added to its denominator.

    With |x||y| − x·y = ½ |x||y| (x/|x| − y/|y|)², which keeps its digits where both nearly agree.
    """
    x, y = (z - z.mean(axis, keepdim=True) for z in (x, y))
    size_x, size_y = (_root((z * z).sum(axis, keepdim=True)) for z in (x, y))
    unit_x, unit_y = (z / torch.where(size == 0, 1.0, size) for z, size in ((x, size_x), (y, size_y)))
    product = (size_x * size_y).squeeze(axis)
    return (product * ((unit_x - unit_y) ** 2).sum(axis) / 2 + 1e-8) / (product + 1e-8)


def _root(square: torch.Tensor) -> torch.Tensor:
    """The square root, with slope 0 at 0."""
    return torch.where(square == 0, 0.0, torch.where(square == 0, 1.0, square).sqrt())
