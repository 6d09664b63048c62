"""How one gradient step of the α-β-divergence redistributes the student's probability (Proposition 4.2 of the paper).

A step of size η on the logits changes log q by  Δ = η h − η q Σ h + N,  with

    h_k = q_k^β · (p_k^α − q_k^α) / α     (the confidence weight times the signed hardness weight)
    N   = −log Σ_k q_k e^(Δz_k)            (the normaliser, the same for every class)

so that |Δ| is at most the sum of the three magnitudes. h is what decides which classes the step works on: the larger
β, the more those that the student is sure of; the smaller α, the more those with a large error. Source: Wang et al.,
ICML 2025 (arXiv 2505.04560), Proposition 4.2; with a temperature T both terms of η get a factor 1/T².
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_logits, check_real, check_temperature
from reference.divergences import ab_divergence_and_gradient
from reference.divided_differences import decay


@dataclass(frozen=True)
class Step:
    """One gradient step for rows [...] of C classes.

    Attributes:
        log_change: log q_new − log q [..., C], from the logits after the step.
        own: η h [..., C], the class's own pull: > 0 where the teacher's probability is larger.
        shared: η q Σ h [..., C], what every class gives up.
        normaliser: N [...].
        bound: of |log_change| [..., C]: |own| + η q Σ |h| + |N|, as the proposition has it.
        moved: q_new − q [..., C].
    """

    log_change: NDArray
    own: NDArray
    shared: NDArray
    normaliser: NDArray
    bound: NDArray
    moved: NDArray


@dataclass(frozen=True)
class Concentration:
    """On which classes the weights q^β |p^α − q^α| / |α| of a step lie; each [...].

    Attributes:
        hardness: mean of |log p − log q| over the weights: how large the errors are that the step works on.
        confidence: mean of q over the weights: how sure the student is of the classes that it works on.
        classes: e^(entropy of the weights), the effective number of classes.
    """

    hardness: NDArray
    confidence: NDArray
    classes: NDArray


def hardness_weights(log_p: ArrayLike, log_q: ArrayLike, alpha: float) -> NDArray:
    """|p^α − q^α| / |α| elementwise, |log p − log q| at α = 0; for finite logarithms."""
    log_p, log_q = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
    top = np.maximum(alpha * log_p, alpha * log_q)
    return np.exp(top) * decay(np.abs(log_p - log_q), abs(alpha))


def confidence_weights(log_q: ArrayLike, beta: float) -> NDArray:
    """q^β elementwise."""
    return np.exp(beta * np.asarray(log_q, np.float64))


def log_distribution(logits: ArrayLike, temperature: float = 1.0) -> NDArray:
    """log softmax(logits / T) over the last axis, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def gradient_step(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    alpha: float,
    beta: float,
    *,
    learning_rate: float = 1.0,
    temperature: float = 1.0,
) -> Step:
    """One step of gradient descent on the student's logits, and what it does to the student's distribution.

    Args:
        student_logits: [..., C], finite.
        teacher_logits: [..., C], finite.
        alpha, beta: any real numbers.
        learning_rate: η.
        temperature: T > 0 of both distributions.

    Returns:
        Changes of softmax(student_logits / T).

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    student, teacher = _finite_logits(student_logits, teacher_logits)
    alpha, beta = check_real("alpha", alpha), check_real("beta", beta)
    rate, temperature = check_real("learning_rate", learning_rate), check_temperature(temperature)
    _, gradient = ab_divergence_and_gradient(student, teacher, alpha, beta, temperature=temperature, reduction="sum")
    log_p, log_q = log_distribution(teacher, temperature), log_distribution(student, temperature)
    log_change = log_distribution(student - rate * gradient, temperature) - log_q
    q = np.exp(log_q)
    signs = np.where(log_p >= log_q, 1.0, -1.0)
    own = rate / temperature**2 * signs * confidence_weights(log_q, beta) * hardness_weights(log_p, log_q, alpha)
    logit_step = -rate * gradient / temperature
    normaliser = _normaliser(q, logit_step)
    return Step(
        log_change=log_change,
        own=own,
        shared=q * own.sum(axis=-1, keepdims=True),
        normaliser=normaliser,
        bound=np.abs(own) + q * np.abs(own).sum(axis=-1, keepdims=True) + np.abs(normaliser)[..., None],
        moved=q * np.expm1(log_change),
    )


def concentration(
    student_logits: ArrayLike, teacher_logits: ArrayLike, alpha: float, beta: float, *, temperature: float = 1.0
) -> Concentration:
    """On which classes a step at (α, β) works, for each row.

    Arguments and errors are those of `gradient_step`. Rows of equal distributions have no weights: NaN.
    """
    student, teacher = _finite_logits(student_logits, teacher_logits)
    alpha, beta = check_real("alpha", alpha), check_real("beta", beta)
    temperature = check_temperature(temperature)
    log_p, log_q = log_distribution(teacher, temperature), log_distribution(student, temperature)
    with np.errstate(divide="ignore", invalid="ignore"):
        # in logarithms: q^β alone overflows for a confident student and β < 0
        top = np.maximum(alpha * log_p, alpha * log_q)
        logs = beta * log_q + top + np.log(decay(np.abs(log_p - log_q), abs(alpha)))
        weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        entropy = -np.where(weights > 0, weights * np.log(weights), 0.0).sum(axis=-1)
    entropy = np.where(np.isnan(weights).any(axis=-1), np.nan, entropy)
    return Concentration(
        hardness=(weights * np.abs(log_p - log_q)).sum(axis=-1),
        confidence=(weights * np.exp(log_q)).sum(axis=-1),
        classes=np.exp(entropy),
    )


def concentration_map(
    student_logits: ArrayLike, teacher_logits: ArrayLike, alphas: ArrayLike, betas: ArrayLike, *, temperature: float = 1.0
) -> dict[str, NDArray]:
    """Means over the rows of `concentration` for every (α, β).

    Args:
        student_logits, teacher_logits: [..., C].
        alphas: [A].
        betas: [B].
        temperature: T > 0.

    Returns:
        "hardness", "confidence", "classes" to [B, A], β upwards; rows of equal distributions are left out.
    """
    alphas, betas = np.asarray(alphas, np.float64), np.asarray(betas, np.float64)
    maps = {name: np.empty((len(betas), len(alphas))) for name in ("hardness", "confidence", "classes")}
    for row, beta in enumerate(betas):
        for column, alpha in enumerate(alphas):
            here = concentration(student_logits, teacher_logits, alpha, beta, temperature=temperature)
            for name, values in maps.items():
                rows = np.ravel(getattr(here, name))
                rows = rows[~np.isnan(rows)]
                values[row, column] = rows.mean() if len(rows) else np.nan
    return maps


def _normaliser(q: NDArray, logit_step: NDArray) -> NDArray:
    """−log Σ q e^Δz [...], accurate for small steps and without overflow for large ones."""
    top = logit_step.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        change = (q * np.expm1(logit_step)).sum(axis=-1)
        large = top[..., 0] + np.log((q * np.exp(logit_step - top)).sum(axis=-1))
        return -np.where(np.abs(change) < 0.5, np.log1p(np.maximum(change, -0.5)), large)


def _finite_logits(student_logits: ArrayLike, teacher_logits: ArrayLike) -> tuple[NDArray, NDArray]:
    student, teacher = check_logits(student_logits, teacher_logits)
    for name, logits in (("student_logits", student), ("teacher_logits", teacher)):
        if not np.isfinite(logits).all():
            raise ValueError(
                f"{name} holds {logits[~np.isfinite(logits)].flat[0]}; the analysis takes finite logits: leave out "
                "rows that are not, and classes that both sides forbid"
            )
    return student, teacher
