"""Distillation terms for classification: what each method adds to the cross-entropy, whose weights are the caller's.

p is the teacher's distribution, q the student's, T the temperature. All are float64 if the student's logits are, else
float32, and differentiable once, in reverse mode, with respect to the student's logits; the teacher is a constant.
Parameters have the published values as defaults and may be traced. The divergences within are the careful ones of the
catalogue.

All but `dist_loss` take the same options, and give the weighted mean over rows by default:

    weights: `[...]`, real, finite, ≥ 0, a constant: what each row counts, W, 1 if None. Rows of weight 0 and, where there are
        labels, those whose label is `ignore_index` count as absent, whatever they hold.
    reduction: "mean" (Σ W · loss / Σ W), "sum" (Σ W · loss) or "none" (`[...]`, W · loss).
    normalizer: a positive number or scalar that the sum is divided by in place of Σ W: with the whole batch's the losses of
        its parts add up to the batch's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL, check_positive, check_squared_temperature, check_whole_batch
from .alpha_beta import packed_ab_divergence
from .differentiable import Selection, check_arguments, select_rows
from .labels import check_labels, nan_where_unknown
from .operands import check_concrete, pack
from .rows import compute_type, in_range

Logits = jax.typing.ArrayLike


def kd_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    temperature: Any = 4.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """T² KL(p‖q). Hinton et al., 2015.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        temperature: T > 0 of both.
        weights, reduction, normalizer: as the module says.
    """
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, reduction)
    selection = select_rows(student, None, weights, reduction, normalizer)
    (tau,) = _with_square(student, temperature)
    return tau**2 * _ab(student, teacher, 1.0, 0.0, tau, selection, reduction)


def dkd_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    labels: Any,
    *,
    temperature: Any = 4.0,
    target_weight: Any = 1.0,
    non_target_weight: Any = 2.0,
    ignore_index: int = IGNORED_LABEL,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """T² [target_weight · KL of (target, rest) + non_target_weight · KL within the rest]. DKD, Zhao et al., 2022.

    The published weights of the second term are 2 (resnet56→20, resnet110→32), 8 (resnet32x4→8x4) and 6 (WRN, VGG);
    training multiplies the whole by `warm_up`. Where teacher or student gives the label everything (−inf at all other
    classes, or no other class), a row has no rest: the first term alone counts. A term of weight 0 is left out, even an
    infinite one.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        labels: `[...]` target classes, or `ignore_index` for rows that do not count. Under jit a row whose label is no class
            is NaN.
        temperature: T > 0 of both.
        target_weight, non_target_weight: of the two terms.
        weights, reduction, normalizer: as the module says.
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
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """`dkd_loss` with D_AB(alpha, beta) in place of the KL divergence within the rest; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits, reduction)
    labels = check_labels(labels, student, ignore_index)
    selection = select_rows(student, labels != ignore_index, weights, reduction, normalizer)
    tau, target_weight, non_target_weight = _with_square(
        student, temperature, target_weight=target_weight, non_target_weight=non_target_weight
    )
    student = nan_where_unknown(student, labels, ignore_index)
    target = jnp.arange(student.shape[-1]) == labels[..., None]
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (
        _split(selection.counted(z), target, tau) for z in (student, teacher)
    )
    alone = jnp.any(jnp.stack([(z == -jnp.inf).all(-1) for z in (student_rest, teacher_rest)]), axis=0)[..., None]
    student_rest, teacher_rest = jnp.where(alone, 0, student_rest), jnp.where(alone, 0, teacher_rest)
    pair = _ab(student_pair, teacher_pair, 1.0, 0.0, 1.0, selection, reduction)
    rest = _ab(student_rest, teacher_rest, alpha, beta, tau, selection, reduction)
    return tau**2 * (_weighted(target_weight, pair) + _weighted(non_target_weight, rest))


def lsd_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    temperature: Any = 2.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """T² KL(p‖q) of standardised logits, z ← (z − mean)/(1e-7 + std) over classes. LSD, Sun et al., 2024.

    Args:
        student_logits, teacher_logits: `[..., classes]`, all finite: a row with −inf is NaN, as its mean is, and so is one
            whose squares leave the type's range (logits of 1e19 in float32). Where a student's logits are all alike, so
            that std is 0, the gradient is of the order of 1e7, by the published formula.
        temperature: T > 0, of the standardised logits.
        weights, reduction, normalizer: as the module says.
    """
    options = {"weights": weights, "reduction": reduction, "normalizer": normalizer}
    return ablsd_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, temperature=temperature, **options)


def ablsd_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    temperature: Any = 2.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """`lsd_loss` with D_AB(alpha, beta) in place of the KL divergence; the one factor T² stays."""
    student, teacher = _in_computing_type(student_logits, teacher_logits, reduction)
    selection = select_rows(student, None, weights, reduction, normalizer)
    (tau,) = _with_square(student, temperature)
    student, teacher = (_standardised(selection.counted(z)) for z in (student, teacher))
    return tau**2 * _ab(student, teacher, alpha, beta, tau, selection, reduction)


def ttm_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    gamma: Any = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """KL(p̃‖q), p̃ ∝ p^γ, all at temperature 1. TTM, Zheng and Yang, 2024.

    Args:
        student_logits, teacher_logits: `[..., classes]`.
        gamma: γ > 0.
        weights, reduction, normalizer: as the module says.
    """
    options = {"weights": weights, "reduction": reduction, "normalizer": normalizer}
    return abttm_loss(student_logits, teacher_logits, alpha=1.0, beta=0.0, gamma=gamma, **options)


def abttm_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    alpha: Any = 0.8,
    beta: Any = 0.3,
    gamma: Any = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """`ttm_loss` with D_AB(alpha, beta) in place of the KL divergence."""
    student, teacher = _in_computing_type(student_logits, teacher_logits, reduction)
    selection = select_rows(student, None, weights, reduction, normalizer)
    (gamma,) = check_concrete({"gamma": gamma}, student.dtype, {"gamma": check_positive})
    return _ab(student, _held(lambda z: gamma * z, teacher), alpha, beta, 1.0, selection, reduction)


def wttm_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    gamma: Any = 0.1,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """`ttm_loss` with each row's value multiplied by its Σ p^γ. WTTM, Zheng and Yang, 2024."""
    student, teacher = _in_computing_type(student_logits, teacher_logits, reduction)
    selection = select_rows(student, None, weights, reduction, normalizer)
    (gamma,) = check_concrete({"gamma": gamma}, student.dtype, {"gamma": check_positive})
    teacher = selection.counted(teacher)
    below = teacher - teacher.max(-1, keepdims=True)
    powers = jnp.exp(jax.nn.logsumexp(gamma * below, axis=-1) - gamma * jax.nn.logsumexp(below, axis=-1))
    rows = _ab(student, _held(lambda z: gamma * z, teacher), 1.0, 0.0, 1.0, Selection(selection.mask), "none")
    return selection.reduced(powers * rows, reduction)


def dist_loss(
    student_logits: Logits,
    teacher_logits: Logits,
    *,
    temperature: Any = 4.0,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """τ² (1 − mean Pearson correlation of rows) + τ² (1 − that of columns) of softmax(z/τ). DIST, Huang et al., 2022.

    The correlations have 1e-8 in the denominator. A row of weight w counts as w rows would, in the mean over rows and in the
    sums over rows within the columns' correlations; 0 where no row counts.

    Args:
        student_logits, teacher_logits: `[..., classes]`; leading axes count as one axis of rows.
        temperature: τ > 0.
        weights: `[...]`, real, finite, ≥ 0, a constant; rows of weight 0 count as absent, whatever they hold.
        reduction, normalizer: "mean" and None alone are allowed, since columns correlate over the whole batch.
    """
    check_whole_batch(reduction, normalizer)
    student, teacher = _in_computing_type(student_logits, teacher_logits, reduction)
    selection = select_rows(student, None, weights)
    (tau,) = _with_square(student, temperature)
    if student.size == 0:
        return jnp.zeros((), student.dtype)
    q, p = (
        jax.nn.softmax(_held(lambda z: z / tau, selection.counted(z)).reshape(-1, z.shape[-1]), axis=-1)
        for z in (student, teacher)
    )
    counts = None if selection.weights is None else selection.weights.reshape(-1, 1)
    rows, columns = _lack_of_correlation(q, p, -1), _lack_of_correlation(q, p, 0, counts)
    if counts is None:
        return tau**2 * (rows.mean() + columns.mean())
    total = counts.sum()
    mean = (counts[:, 0] * rows).sum() / jnp.where(total == 0, 1, total)
    return tau**2 * jnp.where(total == 0, 0, mean + columns.mean())


def _in_computing_type(student_logits: Logits, teacher_logits: Logits, reduction: str) -> tuple[jax.Array, jax.Array]:
    """Both logits in the computing type, the teacher's as a constant."""
    student, teacher, _ = check_arguments(student_logits, teacher_logits, None, reduction)
    dtype = compute_type(student.dtype)
    return student.astype(dtype), jax.lax.stop_gradient(teacher.astype(dtype))


def _with_square(student: jax.Array, temperature: Any, **others: Any) -> list:
    """A temperature whose square is a factor of the loss, and other numbers, checked where they are concrete."""
    dtype = compute_type(student.dtype)
    limits = np.finfo(dtype)
    check = partial(check_squared_temperature, smallest=float(limits.tiny), largest=float(limits.max))
    given = {"temperature": temperature, **others}
    return check_concrete(given, dtype, {"temperature": lambda _, value: check(value)})


def _ab(
    student: jax.Array, teacher: jax.Array, alpha: Any, beta: Any, temperature: Any, selection: Selection, reduction: str
) -> jax.Array:
    """The α-β-divergence of checked logits."""
    packed = pack(alpha, beta, temperature, compute_type(student.dtype))
    return packed_ab_divergence(student, teacher, packed, selection, reduction)


def _weighted(weight: Any, term: jax.Array) -> jax.Array:
    """A term times its weight; 0 where that is 0, even of a term that is infinite."""
    return jnp.where(weight == 0, 0, weight * term)


def _held(scale: Callable[[jax.Array], jax.Array], logits: jax.Array) -> jax.Array:
    """Scaled logits, relative to their row's largest and within the type's range where they would leave it."""
    scaled, finite = scale(logits), jnp.isfinite(logits)
    below = in_range(scale(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))))
    leaves = (jnp.isinf(scaled) & finite).any(-1, keepdims=True)
    return jnp.where(leaves & finite, below, scaled)


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


def _lack_of_correlation(x: jax.Array, y: jax.Array, axis: int, weights: jax.Array | None = None) -> jax.Array:
    """1 − Pearson's correlation along an axis, with 1e-8 added to its denominator; weights `[rows, 1]` of the entries along it.

    With |x||y| − x·y = ½ |x||y| (x/|x| − y/|y|)², which keeps its digits where both nearly agree.
    """
    if weights is None:
        x, y = (z - z.mean(axis, keepdims=True) for z in (x, y))
    else:
        # with the roots of the weights in both, sums over entries are weighted ones
        total = weights.sum(axis, keepdims=True)
        x, y = (z - (weights * z).sum(axis, keepdims=True) / jnp.where(total == 0, 1, total) for z in (x, y))
        x, y = jnp.sqrt(weights) * x, jnp.sqrt(weights) * y
    size_x, size_y = (_root((z * z).sum(axis, keepdims=True)) for z in (x, y))
    unit_x, unit_y = (z / jnp.where(size == 0, 1, size) for z, size in ((x, size_x), (y, size_y)))
    product = jnp.squeeze(size_x * size_y, axis)
    return (product * ((unit_x - unit_y) ** 2).sum(axis) / 2 + 1e-8) / (product + 1e-8)


def _root(square: jax.Array) -> jax.Array:
    """The square root, with slope 0 at 0."""
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
