"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

p is the teacher's distribution, q the student's, T the temperature. All give a mean over rows, float64 if the student's
logits are, else float32, and are differentiable once, in reverse mode, with respect to the student's logits; the
teacher is a constant. Parameters have the published values as defaults and may be traced. The divergences within are
the careful ones of the catalogue.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ...common.arguments import IGNORED_LABEL, check_positive
from .alpha_beta import ab_divergence
from .catalogue import forward_kl
from .differentiable import check_arguments
from .labels import check_labels
from .operands import check_concrete
from .rows import compute_type

Logits = jax.typing.ArrayLike


def kd_loss(student_logits: Logits, teacher_logits: Logits, *, temperature: Any = 4.0) -> jax.Array:
    """T² KL(p‖q). Hinton et al., 2015.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        temperature: T > 0 of both.
    """
    (tau,) = check_concrete({"temperature": temperature})
    return tau**2 * forward_kl(student_logits, teacher_logits, temperature=tau)


def dkd_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    labels: Any,
    *,
    temperature: Any = 4.0,
    target_weight: Any = 1.0,
    non_target_weight: Any = 2.0,
    ignore_index: int = IGNORED_LABEL,
) -> jax.Array:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL within the rest]. DKD, Zhao et al., 2022.

    The published weights of the second term are 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4) and 6 (WRN, VGG);
    training multiplies the whole by `warm_up`.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        labels: `[...]` target classes, or `ignore_index` for rows that do not count.
        temperature: T > 0 of both.
        target_weight, non_target_weight: of the two terms.
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
    student_logits: Logits,
    teacher_logits: Logits,
    labels: Any,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    temperature: Any = 4.0,
    target_weight: Any = 1.0,
    non_target_weight: Any = 2.0,
    ignore_index: int = IGNORED_LABEL,
) -> jax.Array:
    """`dkd_loss` with D_AB(alpha, beta) in place of the KL divergence within the rest; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    labels = check_labels(labels, student, ignore_index)
    tau, target_weight, non_target_weight = check_concrete(
        {"temperature": temperature, "target_weight": target_weight, "non_target_weight": non_target_weight}
    )
    counts = labels != ignore_index
    target = jnp.arange(student.shape[-1]) == labels[..., None]
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (_split(z, target, tau) for z in (student, teacher))
    pair = forward_kl(student_pair, teacher_pair, mask=counts)
    rest = ab_divergence(student_rest, teacher_rest, alpha, beta, temperature=tau, mask=counts)
    return tau**2 * (target_weight * pair + non_target_weight * rest)


def lsd_loss(student_logits: Logits, teacher_logits: Logits, *, temperature: Any = 2.0) -> jax.Array:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes. LSD, Sun et al., 2024.

    Args:
        student_logits, teacher_logits: `[..., classes]`, all finite.
        temperature: T > 0, of the standardised logits.
    """
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature)


def ablsd_loss(
    student_logits: Logits, teacher_logits: Logits, *, alpha: Any = 0.8, beta: Any = 0.3, temperature: Any = 2.0
) -> jax.Array:
    """`lsd_loss` with D_AB(alpha, beta) in place of the KL divergence; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    (tau,) = check_concrete({"temperature": temperature})
    return tau**2 * ab_divergence(_standardised(student), _standardised(teacher), alpha, beta, temperature=tau)


def ttm_loss(student_logits: Logits, teacher_logits: Logits, *, gamma: Any = 0.1) -> jax.Array:
    """KL(p̃‖q), p̃ ∝ p^γ, all at temperature 1. TTM, Zheng and Yang, 2024.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        gamma: γ > 0.
    """
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma)


def abttm_loss(
    student_logits: Logits, teacher_logits: Logits, *, alpha: Any = 0.8, beta: Any = 0.3, gamma: Any = 0.1
) -> jax.Array:
    """`ttm_loss` with D_AB(alpha, beta) in place of the KL divergence."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    (gamma,) = check_concrete({"gamma": gamma}, {"gamma": check_positive})
    return ab_divergence(student, gamma * teacher, alpha, beta)


def wttm_loss(student_logits: Logits, teacher_logits: Logits, *, gamma: Any = 0.1) -> jax.Array:
    """`ttm_loss` with each row weighted by its Σ p^γ before the mean. WTTM, Zheng and Yang, 2024."""
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    (gamma,) = check_concrete({"gamma": gamma}, {"gamma": check_positive})
    below = teacher - teacher.max(-1, keepdims=True)
    weights = jnp.exp(jax.nn.logsumexp(gamma * below, axis=-1) - gamma * jax.nn.logsumexp(below, axis=-1))
    rows = forward_kl(student, gamma * teacher, reduction="none")
    return (weights * rows).sum() / max(rows.size, 1)


def dist_loss(student_logits: Logits, teacher_logits: Logits, *, temperature: Any = 4.0) -> jax.Array:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ). DIST, Huang et al., 2022.

    The correlations have 1e-8 in the denominator.

    Args:
        student_logits, teacher_logits: `[..., classes]`; leading axes count as one axis of rows.
        temperature: τ > 0.
    """
    student, teacher = _in_computing_type(student_logits, teacher_logits)
    (tau,) = check_concrete({"temperature": temperature})
    q, p = (jax.nn.softmax(z.reshape(-1, z.shape[-1]) / tau, axis=-1) for z in (student, teacher))
    return tau**2 * (_lack_of_correlation(q, p, -1).mean() + _lack_of_correlation(q, p, 0).mean())


def _in_computing_type(student_logits: Logits, teacher_logits: Logits) -> tuple[jax.Array, jax.Array]:
    """Both logits in the computing type, the teacher's as a constant."""
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, "mean")
    dtype = compute_type(student.dtype)
    return student.astype(dtype), jax.lax.stop_gradient(teacher.astype(dtype))


def _split(logits: jax.Array, target: jax.Array, temperature: Any) -> tuple[jax.Array, jax.Array]:
    """Logits of (target, all others) at the temperature, `[..., 2]`, and the logits with the target forbidden."""
    others = jnp.where(target, -jnp.inf, logits)
    largest = jax.lax.stop_gradient(others.max(-1, keepdims=True))
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    total = jnp.exp((others - largest) / temperature).sum(-1)
    # where there is no other class the logarithm must not meet 0, for its derivative's sake
    log_total = jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)))
    own = jnp.where(target, logits, 0).sum(-1) / temperature
    return jnp.stack([own, log_total + largest[..., 0] / temperature], axis=-1), others


def _standardised(logits: jax.Array) -> jax.Array:
    """(z − mean)/(1e-7 + std) over classes, the standard deviation with classes − 1 in the denominator."""
    centred = logits - logits.mean(-1, keepdims=True)
    variance = (centred * centred).sum(-1, keepdims=True) / max(logits.shape[-1] - 1, 1)
    return centred / (1e-7 + _root(variance))


def _lack_of_correlation(x: jax.Array, y: jax.Array, axis: int) -> jax.Array:
    """1 − Pearson's correlation along an axis, with 1e-8 added to its denominator.

    With |x||y| − x·y = ½ |x||y| (x/|x| − y/|y|)², which keeps its digits where both nearly agree.
    """
    x, y = (z - z.mean(axis, keepdims=True) for z in (x, y))
    size_x, size_y = (_root((z * z).sum(axis, keepdims=True)) for z in (x, y))
    unit_x, unit_y = (z / jnp.where(size == 0, 1, size) for z, size in ((x, size_x), (y, size_y)))
    product = jnp.squeeze(size_x * size_y, axis)
    return (product * ((unit_x - unit_y) ** 2).sum(axis) / 2 + 1e-8) / (product + 1e-8)


def _root(square: jax.Array) -> jax.Array:
    """The square root, with slope 0 at 0."""
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
