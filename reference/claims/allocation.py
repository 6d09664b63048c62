"""Claims about what a gradient step does to the student: Prop. 4.2, Theorem 3.2, other losses far apart."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reference.claims.claim import CONDITION, FAILS, HOLDS, Claim, Finding, small
from reference.concentration import Step, concentration, confidence_weights, gradient_step, hardness_weights, log_distribution
from reference.divergences import ab_divergence_and_gradient
from reference.grid import AB_GRID, draw_logits

GROUP = "What a gradient step does"
PROPOSITION = "ABKD paper, Proposition 4.2"
THEOREM = "ABKD paper, Theorem 3.2"
OTHERS = "ABKD paper, on losses between forward and reverse KL"
ARTICLE = "Proposition 4.2 as a rule of thumb for users, in words of this project"

_ALPHAS = (-1.0, -0.5, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def _rows(rows: int = 200, classes: int = 10, spread: str = "1") -> tuple[NDArray, NDArray]:
    return draw_logits(classes, spread, "float64", rows, 23)


def _steps() -> Iterator[Step]:
    for spread in ("1", "10", "near"):
        student, teacher = _rows(20, spread=spread)
        for alpha, beta in (point for point in AB_GRID if min(point) >= -0.5 and max(point) <= 1.5):
            for rate in (0.01, 1.0, 50.0):
                yield gradient_step(student, teacher, alpha, beta, learning_rate=rate)


def _log_ratio() -> Finding:
    """The change of log q, taken from the distributions before and after, against −η∇ + N."""
    worst = 0.0
    for spread in ("1", "10"):
        student, teacher = _rows(20, spread=spread)
        for alpha, beta in AB_GRID[:7]:
            step = gradient_step(student, teacher, alpha, beta, learning_rate=0.5)
            _, gradient = ab_divergence_and_gradient(student, teacher, alpha, beta, reduction="sum")
            predicted = -0.5 * gradient + step.normaliser[..., None]
            worst = max(worst, np.abs(step.log_change - predicted).max())
    figure, meaning = float(worst), "largest difference over 280 rows"
    if figure > 1e-13:
        return Finding(FAILS, figure, meaning, "it should be rounding only")
    return Finding(HOLDS, figure, meaning, "for a step on the logits; at temperature T the gradient counts 1/T")


def _bound() -> Finding:
    shares, rows = [], 0
    for step in _steps():
        counted = step.bound > 1e-6
        shares.append((np.abs(step.log_change[counted]) / step.bound[counted]).max(initial=0))
        rows += len(step.log_change)
    return small(float(max(shares)), 1 + 1e-6, f"largest share of the bound that {rows:,} rows use")


def _ratios(of: str) -> NDArray:
    """Weight of a large error over that of a small one [alphas, pairs], where both share max(p, q) or min(p, q)."""
    random = np.random.RandomState(7)
    small_error, gap = random.uniform(0.05, 3, 400), random.uniform(0.05, 3, 400)
    shared = -random.uniform(0.05, 8, 400)
    sign = 1.0 if of == "min" else -1.0
    return np.stack(
        [
            hardness_weights(shared + sign * (small_error + gap), shared, alpha)
            / hardness_weights(shared + sign * small_error, shared, alpha)
            for alpha in _ALPHAS
        ]
    )


def _hardness() -> Finding:
    falls = np.diff(_ratios("max"), axis=0) < 0
    rises = np.diff(_ratios("min"), axis=0) > 0
    share = float(falls.mean())
    return Finding(
        CONDITION if share == 1 and rises.all() else FAILS,
        share,
        "share of 400 pairs of errors, α from −1 to 2, where the larger error gains weight as α falls",
        "for classes with the same larger one of p and q (overestimated ones of equal q, underestimated ones of equal "
        "p); with the same smaller one it is reversed, in every pair",
    )


def _confidence() -> Finding:
    """At equal errors the weight of the surer class over the other's is (q₁/q₂)^β; on rows, the mean confidence."""
    student, teacher = _rows()
    betas = np.linspace(-1, 2, 13)
    log_q = np.sort(log_distribution(student), axis=-1)
    ratios = np.stack([confidence_weights(log_q[:, -1], b) / confidence_weights(log_q[:, 0], b) for b in betas])
    means = np.stack([concentration(student, teacher, 0.5, beta).confidence for beta in betas])
    if not (np.diff(ratios, axis=0) > 0).all():
        return Finding(
            FAILS, float((np.diff(ratios, axis=0) > 0).mean()), "share of rows where the ratio rises", "it should rise in all"
        )
    share = float((np.diff(means, axis=0) > 0).mean())
    return Finding(
        HOLDS if share == 1 else FAILS,
        share,
        "share of 200 rows where the weights' mean q rises with β",
        "" if share == 1 else "it should rise in all",
    )


def _extremes() -> Finding:
    """On the unit square the weights' contrasts lie between those of forward and of reverse KL."""
    inside = [alpha for alpha in _ALPHAS if 0 <= alpha <= 1]
    ratios = _ratios("max")[[_ALPHAS.index(alpha) for alpha in inside]]
    weakest, strongest = (ratios >= ratios[-1]).all(), (ratios <= ratios[0]).all()
    beyond = _ratios("max")[_ALPHAS.index(2.0)] < ratios[-1]
    figure = float(np.median(ratios[0] / ratios[-1]))
    return Finding(
        CONDITION if weakest and strongest and beyond.all() else FAILS,
        figure,
        "median over 400 pairs: contrast of a larger to a smaller error in reverse over that in forward KL",
        "among 0 ≤ α, β ≤ 1, and for hardness under its own condition; (2,−1), say, is weaker still in both",
    )


def _with_equal_errors(kind: str, sign: float) -> tuple[NDArray, NDArray]:
    """(log p, log q) [500, 8]: classes 0 and 1 have the same p − q ("difference") or p/q ("ratio"), q₀ > q₁.

    The sign of p − q is `sign` for both classes.
    """
    random = np.random.RandomState(17)
    p, q = [], []
    while len(p) < 500:
        student = random.dirichlet(np.ones(8))
        student[:2] = np.sort(student[:2])[::-1]
        if kind == "difference":
            largest = student[1] if sign < 0 else (1 - student[0] - student[1]) / 2
            error = sign * random.uniform(0, 0.9) * largest
            pair = student[:2] + error
        else:
            pair = student[:2] * np.exp(sign * random.exponential(1.5))
        rest = random.dirichlet(np.ones(6)) * (1 - pair.sum())
        if pair.sum() < 1 and min(student.min(), pair.min(), rest.min()) > 1e-9 and student[0] > 1.01 * student[1]:
            p.append(np.concatenate([pair, rest]))
            q.append(student)
    return np.log(p), np.log(q)


def _lead(kind: str, sign: float, alpha: float, beta: float) -> NDArray:
    """LogR of the surer class minus that of the other [500], after a step of size 0.5."""
    log_p, log_q = _with_equal_errors(kind, sign)
    change = gradient_step(log_q, log_p, alpha, beta, learning_rate=0.5).log_change
    return change[:, 0] - change[:, 1]


def _forward_alike() -> Finding:
    leads = np.concatenate([_lead("difference", sign, 1.0, 0.0) for sign in (1.0, -1.0)])
    others = np.concatenate([_lead("ratio", sign, 1.0, 0.0) for sign in (1.0, -1.0)])
    return small(
        float(np.abs(leads).max()),
        1e-13,
        "largest difference of LogR of two classes over 1,000 rows",
        f"for classes of equal p−q; at equal p/q it differs by up to {np.abs(others).max():.2g}",
    )


def _reverse_raises() -> Finding:
    leads = np.concatenate([_lead(kind, 1.0, 0.0, 1.0) for kind in ("difference", "ratio")])
    share = float((leads > 0).mean())
    remark = "" if share == 1 else "it should in all"
    return Finding(
        HOLDS if share == 1 else FAILS,
        share,
        "share of 1,000 rows (equal p−q or p/q) where the class of larger q rises more",
        remark,
    )


def _reverse_lowers() -> Finding:
    share = float((_lead("difference", -1.0, 0.0, 1.0) > 0).mean())
    log_p, log_q = _with_equal_errors("ratio", -1.0)
    reverse_kl = (np.exp(log_q) * (log_q - log_p)).sum(axis=-1)
    beyond = (log_q - log_p)[:, 0] > reverse_kl
    reversed_there = (_lead("ratio", -1.0, 0.0, 1.0) < 0) == beyond
    return Finding(
        CONDITION if share == 1 and reversed_there.all() else FAILS,
        share,
        "share of 500 rows where, at equal p−q, the class of smaller q falls more",
        f"at equal p−q; at equal p/q it is reversed exactly where log(q/p) > KL(q‖p) ({beyond.sum()} of 500 rows)",
    )


def _far_apart(distance: float) -> tuple[NDArray, NDArray]:
    """Logits of a student and a teacher that are each sure of another class."""
    student, teacher = np.zeros(10), np.zeros(10)
    student[0], teacher[1] = distance, distance
    return student, teacher


def _jensen_shannon(student: NDArray, teacher: NDArray, weight: float) -> tuple[float, NDArray]:
    """λ KL(q‖m) + (1−λ) KL(p‖m), m = (1−λ)p + λq, and its gradient: q (u − Σ q u) with u = λ log(q/m)."""
    log_p, log_q = log_distribution(teacher), log_distribution(student)
    log_m = np.logaddexp(np.log1p(-weight) + log_p, np.log(weight) + log_q)
    p, q = np.exp(log_p), np.exp(log_q)
    pull = weight * (log_q - log_m)
    value = weight * (q * (log_q - log_m)).sum() + (1 - weight) * (p * (log_p - log_m)).sum()
    return float(value), q * (pull - (q * pull).sum())


def _size(gradient: NDArray) -> float:
    return float(np.abs(gradient).max())


def _vanishing() -> Finding:
    student, teacher = _far_apart(30.0)
    figure = max(_size(_jensen_shannon(student, teacher, weight)[1]) for weight in (0.5, 0.1))
    forward, reverse, ours = (
        _size(ab_divergence_and_gradient(student, teacher, a, b)[1]) for a, b in ((1, 0), (0, 1), (0.2, 0.7))
    )
    remark = (
        f"as any loss does whose weights are q^β with β > 0: reverse KL {reverse:.0e}, D_AB(.2,.7) {ours:.0e}; "
        f"only β ≤ 0 keeps it, forward KL {forward:.1f}"
    )
    verdict = HOLDS if figure < 1e-10 else FAILS
    return Finding(verdict, figure, "largest gradient entry 30 logits apart, λ = ½ and .1", remark)


def _exploding() -> Finding:
    values = []
    for distance in (100.0, 1000.0):
        student, teacher = _far_apart(distance)
        values.append(sum(ab_divergence_and_gradient(student, teacher, a, b)[0] for a, b in ((1, 0), (0, 1))) / 2)
    bounded = _jensen_shannon(*_far_apart(1000.0), 0.5)[0]
    grows = abs(values[1] / values[0] - 10) < 0.1 and bounded <= np.log(2) + 1e-12
    return Finding(
        HOLDS if grows else FAILS,
        float(values[1]),
        "value of WSD (weight ½) 1,000 logits apart, in nats",
        f"linearly in the distance of the logits, as both its KL terms do; JSD stays at {bounded:.3f} ≤ ln 2",
    )


def _alpha_on_rows() -> Finding:
    student, teacher = _rows()
    low, high = (concentration(student, teacher, alpha, 0.3).hardness for alpha in (0.2, 0.9))
    share = float((low > high).mean())
    return Finding(
        CONDITION if share > 0.5 else FAILS,
        share,
        "share of 200 random rows where the weights' mean |log p/q| is larger at α .2 than at .9, β .3",
        "on most rows, not on all: see smaller-alpha-harder",
    )


CLAIMS = (
    Claim(
        "log-ratio-identity",
        GROUP,
        "A gradient step changes log q by LogR = −η∇ + N, N the same for every class.",
        THEOREM,
        _log_ratio,
    ),
    Claim("step-bound", GROUP, "|LogR(y)| ≤ η q^β |p^α−q^α|/|α| + η q(y) Σ q^β |p^α−q^α|/|α| + |N|.", PROPOSITION, _bound),
    Claim("smaller-alpha-harder", GROUP, "The smaller α, the more the larger errors weigh.", PROPOSITION, _hardness),
    Claim(
        "larger-beta-surer",
        GROUP,
        "The larger β, the more those classes weigh that the student is sure of.",
        PROPOSITION,
        _confidence,
    ),
    Claim(
        "kl-extremes",
        GROUP,
        "Forward KL is the weak extreme of both concentrations, reverse KL the strong one.",
        PROPOSITION,
        _extremes,
    ),
    Claim(
        "forward-kl-moves-alike",
        GROUP,
        "Forward KL moves probability on all classes alike, whatever q.",
        THEOREM,
        _forward_alike,
    ),
    Claim(
        "reverse-kl-raises", GROUP, "Reverse KL raises underestimated classes more where q is larger.", THEOREM, _reverse_raises
    ),
    Claim(
        "reverse-kl-lowers", GROUP, "Reverse KL lowers overestimated classes more where q is smaller.", THEOREM, _reverse_lowers
    ),
    Claim("jsd-gradient-vanishes", GROUP, "JSD's gradient vanishes for distributions far apart.", OTHERS, _vanishing),
    Claim("wsd-explodes", GROUP, "WSD's value explodes for distributions far apart.", OTHERS, _exploding),
    Claim(
        "article-alpha", "The article", "Low α works on the hard classes, high α treats errors alike.", ARTICLE, _alpha_on_rows
    ),
    Claim(
        "article-beta",
        "The article",
        "High β works on the classes the student is sure of, low β spreads.",
        ARTICLE,
        _confidence,
    ),
)
