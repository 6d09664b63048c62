"""The α-β-divergence of logits in float64 NumPy, with the backends' arguments.

With s = log p (teacher), t = log q (student), δ = s − t, γ = α + β and exp[…] the divided difference of exp,

    D_AB(p‖q) = Σ_k δ² · exp[γt, αs + βt, γs]
    h         = −∂D/∂t = δ · exp[γt, αs + βt]
    ∂D/∂z_k   = (q_k Σ_j h_j − h_k) / T

which equals Definition 4.1 of the paper (Wang et al., ICML 2025, arXiv 2505.04560) and all its limits, for every real
α and β. What is not a number, infinite or masked is treated as follows: a class that both forbid (−inf) counts nothing;
one that only the teacher forbids adds q^γ/(αγ), one that only the student forbids p^γ/(βγ) (+inf where that diverges;
an infinite derivative is left out of the gradient, and the gradient at a class that the student forbids is 0); a row
with NaN, +inf or no finite logit is NaN unless `mask` leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference import compensated
from reference.arguments import check_real
from reference.compensated import Pair
from reference.distributions import Row, distributions, evaluate_rows, take_class
from reference.divided_differences import Exponents, decay

_LOG_2 = Pair(np.float64(0.6931471805599453), np.float64(2.3190468138462996e-17))
# Exponents above this are scaled out of a row before summation, so that what overflows does so once, at the end.
_SCALE_ABOVE = 500.0


def ab_divergence(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> NDArray | np.float64:
    """D_AB^(α,β)(p‖q) of each row, p = softmax(teacher/T), q = softmax(student/T).

    Args:
        student_logits: z_S [..., C], finite or −inf; log-probabilities are logits too.
        teacher_logits: z_T [..., C].
        alpha: α, any real number.
        beta: β, any real number.
        temperature: T > 0. No factor T² is applied.
        mask: bool [...], True for the rows to use; None uses all.
        weights: W [...], finite and ≥ 0, what each of these rows counts, 1 if None; a row of weight 0 counts as absent.
        reduction: "mean", Σ W D / Σ W over the rows used; "sum", Σ W D; or "none", W D of each row (0 where left out).
        normalizer: a number > 0 that Σ W D is divided by in place of Σ W, with "mean" and "sum" alike.

    Returns:
        float64 in nats: a scalar, or [...] with reduction "none". An empty selection gives 0.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
        TypeError: a mask or weights of a type that is not allowed, a floating mask of other numbers than 0 and 1.
    """
    return ab_divergence_and_gradient(
        student_logits,
        teacher_logits,
        alpha,
        beta,
        temperature=temperature,
        mask=mask,
        weights=weights,
        reduction=reduction,
        normalizer=normalizer,
    )[0]


def ab_divergence_and_gradient(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    alpha: float,
    beta: float,
    *,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    normalizer: float | None = None,
) -> tuple[NDArray | np.float64, NDArray]:
    """`ab_divergence` and its gradient with respect to the student's logits.

    Returns:
        The value as `ab_divergence` returns it, and the float64 gradient [..., C] of the reduced value (with reduction
        "none": of the sum of the rows' values). A derivative beyond float64 is ±inf.
    """
    alpha, beta = check_real("alpha", alpha), check_real("beta", beta)
    return evaluate_rows(
        lambda student, teacher, temperature: _rows(student, teacher, alpha, beta, temperature),
        student_logits,
        teacher_logits,
        temperature=temperature,
        mask=mask,
        weights=weights,
        reduction=reduction,
        normalizer=normalizer,
    )


def _rows(student: NDArray, teacher: NDArray, alpha: float, beta: float, temperature: float) -> tuple[NDArray, NDArray]:
    """Values [N] and gradients [N, C] of rows with a distribution on both sides."""
    row = distributions(student, teacher, temperature)
    exponents = Exponents(alpha, beta, row.log_p, row.log_q, row.delta)
    return _value(row, exponents), _gradient(row, exponents) / temperature


def _value(row: Row, exponents: Exponents) -> NDArray:
    alpha, beta = exponents.alpha, exponents.beta
    top = exponents.second_order_top()
    scale = _row_scale(top.high, row.both)
    terms = np.where(row.both, _scaled(top, scale) * exponents.second_order(), 0.0)
    # 0 · inf: a class of no weight, infinitely far away in float64 only
    terms = np.where(np.isnan(terms), 0.0, terms)
    value = _unscale(terms.sum(axis=-1), scale[..., 0])
    value = value + _forbidden_value(row.student_only, exponents.gamma, row.log_q, alpha)
    return value + _forbidden_value(row.teacher_only, exponents.gamma, row.log_p, beta)


def _forbidden_value(where: NDArray, gamma: Pair, logs: Pair, exponent: float) -> NDArray:
    """Σ x^γ / (exponent · γ) over the classes that one side forbids; +inf unless exponent > 0 and γ > 0."""
    if exponent > 0 and gamma.high > 0:
        powers = compensated.exp(compensated.multiply(gamma, logs))
        return np.where(where, powers / exponent / gamma.high, 0.0).sum(axis=-1)
    return np.where(where.any(axis=-1), np.inf, 0.0)


def _gradient(row: Row, exponents: Exponents) -> NDArray:
    """q_k Σ_j h_j − h_k, with h centred on the student's most probable class: h − c q has the same gradient."""
    alpha, beta, gamma = exponents.alpha, exponents.beta, float(exponents.gamma.high)
    centred, scale = _centred(_Slope.of(row, exponents), row, exponents)
    total = centred.sum(axis=-1, keepdims=True) + _forbidden_slope(row, alpha, beta, gamma) * np.exp(-scale)
    gradient = row.q * total - centred
    gradient = np.where(row.both | row.student_only, _unscale(gradient, scale), 0.0)
    # Only logits near the largest float64 (a mask of finfo.min on one side, say) get here: inf − inf, unknown
    return np.where(np.isnan(gradient), 0.0, gradient)


@dataclass(frozen=True)
class _Slope:
    """h = amplitude · exp(exponent) [N, C]; the amplitude is 0 where h is left out."""

    amplitude: NDArray
    exponent: Pair

    @classmethod
    def of(cls, row: Row, exponents: Exponents) -> _Slope:
        sign = np.where(row.delta.high >= 0, 1.0, -1.0)
        amplitude = np.where(row.both, sign * exponents.first_order(), 0.0)
        exponent = exponents.first_order_top()
        if exponents.alpha > 0:
            amplitude = np.where(row.student_only, -1 / exponents.alpha, amplitude)
            alone = compensated.multiply(exponents.gamma, row.log_q)
            exponent = compensated.choose(row.student_only, alone, exponent)
        return cls(amplitude, exponent)


def _centred(h: _Slope, row: Row, exponents: Exponents) -> tuple[NDArray, NDArray]:
    """h_k − (h_j/q_j) q_k with j the student's top class, divided by exp(scale); and the scale [N, 1].

    With φ(δ) = (e^(αδ) − 1)/α, h = q^γ φ(δ), and so h_k − (h_j/q_j) q_k
    = q_k^γ [φ(δ_k) − φ(δ_j)] + q_k q_j^(γ−1) φ(δ_j) [(q_k/q_j)^(γ−1) − 1],
    which does not cancel where q^(γ−1) hardly varies (at γ = 1 the second part is exactly 0).
    """
    j = row.top_class
    rise = compensated.subtract(row.log_q, take_class(row.log_q, j))
    drop = _Slope(np.take_along_axis(h.amplitude, j, axis=-1), compensated.add(take_class(h.exponent, j), rise))
    others = (row.both | row.student_only) & (np.arange(row.q.shape[-1]) != j)
    # The top class itself becomes 0, so its exponent must not decide the scale.
    size = np.maximum(np.where(h.amplitude != 0, h.exponent.high, -np.inf), drop.exponent.high)
    scale = _row_scale(size, others)
    dropped = drop.amplitude * _scaled(drop.exponent, scale)
    plain = h.amplitude * _scaled(h.exponent, scale) - dropped

    excess = compensated.add(exponents.gamma, compensated.two_sum(-1.0, 0.0))
    growth = compensated.multiply(excess, rise).high
    shift = compensated.subtract(row.relative_delta, take_class(row.relative_delta, j)).high
    higher = compensated.choose((shift >= 0) == (exponents.alpha >= 0), row.delta, take_class(row.delta, j))
    top = compensated.multiply(compensated.two_sum(exponents.alpha, 0.0), higher)
    top = compensated.add(compensated.multiply(exponents.gamma, row.log_q), top)
    step = np.where(shift >= 0, 1.0, -1.0) * decay(np.abs(shift), abs(exponents.alpha))
    close = step * _scaled(top, scale) + dropped * np.expm1(growth)

    usable = row.both & np.take_along_axis(row.both, j, axis=-1) & (np.abs(growth) < 1.0) & np.isfinite(close)
    return np.where(others, np.where(usable, close, plain), 0.0), scale


def _forbidden_slope(row: Row, alpha: float, beta: float, gamma: float) -> NDArray:
    """Σ of the limits of h [N, 1] over the classes that only the student forbids; infinite limits are left out."""
    if beta == 0 and alpha > 0:
        limit = compensated.exp(compensated.multiply(compensated.two_sum(alpha, 0.0), row.log_p)) / alpha
    elif beta > 0 and gamma == 0:
        limit = np.full_like(row.q, 1 / beta)
    else:
        limit = np.zeros_like(row.q)
    return np.where(row.teacher_only, limit, 0.0).sum(axis=-1, keepdims=True)


def _row_scale(top: NDArray, counted: NDArray) -> NDArray:
    """The largest exponent [N, 1] where it is near overflow, else 0."""
    largest = np.max(top, axis=-1, keepdims=True, where=counted, initial=-np.inf)
    return np.where(largest > _SCALE_ABOVE, np.minimum(largest, np.finfo(np.float64).max), 0.0)


def _scaled(top: Pair, scale: NDArray) -> NDArray:
    below = compensated.subtract(top, compensated.pair(scale))
    beyond = np.isposinf(top.high) & (scale > 0)  # the exponent itself is beyond float64, and so is the result
    return np.where(beyond, 1.0, compensated.exp(below))


def _unscale(x: NDArray, scale: NDArray) -> NDArray:
    """x · exp(scale), ±inf only where the product itself is beyond float64."""
    scale = np.minimum(scale, 1e6)
    power = np.rint(scale / _LOG_2.high)
    rest = compensated.subtract(compensated.pair(scale), compensated.multiply(compensated.pair(power), _LOG_2))
    return np.where(scale == 0, x, np.ldexp(x * compensated.exp(rest), power.astype(np.int64)))
