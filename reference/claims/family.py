"""Claims about the α-β-divergence itself: its special cases, its lines, its sign, its dual.

Closed forms are written out here in mpmath and share nothing with the code that they are compared with.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

import mpmath
import numpy as np
from mpmath import mpf

from reference.claims.claim import CONDITION, FAILS, HOLDS, Claim, Finding, small
from reference.divergences import ab_divergence
from reference.exact import definition
from reference.grid import AB_GRID, draw_logits

DIGITS = 40
TABLE = "ABKD paper, Table 1"
EXTENSION = "ABKD paper, section 1, after Cichocki, Cruces & Amari, Entropy 13 (2011)"
GROUP = "The α-β family"

Row = Sequence[mpf]


@cache
def pairs() -> tuple[tuple[tuple[mpf, ...], tuple[mpf, ...]], ...]:
    """Twelve (p, q) of seven classes, from nearly uniform to confident, exact probabilities to the working digits."""
    distributions = []
    with mpmath.workdps(DIGITS + 40):
        for spread in ("1", "10", "near"):
            for student, teacher in zip(*draw_logits(7, spread, "float64", 4, 5), strict=True):
                distributions.append(tuple(tuple(_softmax(logits)) for logits in (teacher, student)))
    return tuple(distributions)


def _softmax(logits: Sequence[float]) -> list[mpf]:
    weights = [mpmath.exp(mpf(float(z))) for z in logits]
    total = mpmath.fsum(weights)
    return [weight / total for weight in weights]


def divergence(p: Row, q: Row, alpha: float | mpf, beta: float | mpf) -> mpf:
    """D_AB^(α,β)(p‖q) of the reference, to DIGITS digits."""
    return definition.ab_divergence(p=p, q=q, alpha=alpha, beta=beta, digits=DIGITS)


def largest_difference(alpha: float, beta: float, closed_form: Callable[[Row, Row], mpf]) -> float:
    """Largest relative difference between the divergence and a closed form over all pairs."""
    with mpmath.workdps(DIGITS + 40):
        differences = [abs(divergence(p, q, alpha, beta) / closed_form(p, q) - 1) for p, q in pairs()]
    return float(max(differences))


def _case(
    name: str, statement: str, alpha: float, beta: float, closed_form: Callable[[Row, Row], mpf], remark: str = ""
) -> Claim:
    def check() -> Finding:
        difference = largest_difference(alpha, beta, closed_form)
        return small(difference, 1e-30, "largest relative difference over 12 pairs, 40 digits", remark)

    return Claim(name, GROUP, statement, TABLE, check)


def kl(p: Row, q: Row) -> mpf:
    """KL(p‖q)."""
    return mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True))


def _alpha_divergence(p: Row, q: Row) -> mpf:
    alpha = mpf(0.25)
    overlap = mpmath.fsum(a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True))
    return (1 - overlap) / (alpha * (1 - alpha))


def _basu(p: Row, q: Row) -> mpf:
    beta = mpf(0.7)
    terms = (b ** (1 + beta) - (1 + 1 / beta) * a * b**beta + a ** (1 + beta) / beta for a, b in zip(p, q, strict=True))
    return mpmath.fsum(terms)


def _hellinger(p: Row, q: Row) -> mpf:
    return mpmath.fsum((mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 for a, b in zip(p, q, strict=True)) / 2


def _half_squares(p: Row, q: Row) -> mpf:
    return mpmath.fsum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2


def _jensen_shannon(p: Row, q: Row) -> mpf:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (kl(p, middle) + kl(q, middle)) / 2


def _is_jensen_shannon() -> Finding:
    """Two divergences that are functions of each other order all pairs alike, and this one they do not."""
    probabilities = np.exp(draw_logits(7, "1", "float64", 40, 5)[0])
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    with mpmath.workdps(30):
        rows = [[mpf(x) for x in row] for row in probabilities.tolist()]
        values = [(_half_squares(p, q), _jensen_shannon(p, q)) for p, q in zip(rows[::2], rows[1::2], strict=True)]
    ordered = [(a[0] < b[0]) == (a[1] < b[1]) for a, b in combinations(values, 2)]
    ratios = [float(a / b) for a, b in values]
    return Finding(
        FAILS,
        max(ratios) / min(ratios),
        "largest ratio D_AB(1,1) : JSD over the smallest",
        f"(1,1) is ½ Σ(p−q)²: {ordered.count(False)} of {len(ordered)} comparisons of two pairs come out the other way "
        "round with JSD; even for p ≈ q, JSD is ⅛ Σ (p−q)²/p",
    )


def _definition(p: Row, q: Row, alpha: mpf, beta: mpf) -> mpf:
    """Definition 4.1, off the lines."""
    gamma = alpha + beta
    terms = (a**alpha * b**beta - alpha / gamma * a**gamma - beta / gamma * b**gamma for a, b in zip(p, q, strict=True))
    return -mpmath.fsum(terms) / (alpha * beta)


def _on_beta_0(p: float, q: float, x: mpf) -> mpf:
    return (p**x * mpmath.log(p**x / q**x) - p**x + q**x) / x**2


def _on_alpha_0(p: mpf, q: mpf, x: mpf) -> mpf:
    return (q**x * mpmath.log(q**x / p**x) - q**x + p**x) / x**2


def _on_opposite(p: mpf, q: mpf, x: mpf) -> mpf:
    return (mpmath.log(q**x / p**x) + p**x / q**x - 1) / x**2


def _at_origin(p: mpf, q: mpf, x: mpf) -> mpf:
    return (mpmath.log(p) - mpmath.log(q)) ** 2 / 2


# how each line is approached: its closed form, and the point at distance ε from the point x of it
_LINES: dict[str, tuple[Callable, Callable]] = {
    "β = 0": (_on_beta_0, lambda x, e: (x, e)),
    "α = 0": (_on_alpha_0, lambda x, e: (e, x)),
    "α + β = 0": (_on_opposite, lambda x, e: (x, e - x)),
    "α = β = 0": (_at_origin, lambda x, e: (x * e, (2 - x) * e + e**2)),
}


def _continuity(line: str) -> Callable[[], Finding]:
    closed_form, near = _LINES[line]

    def difference(distance: mpf) -> float:
        worst = mpf(0)
        for x in (mpf("0.5"), mpf(-1), mpf(2)):
            for p, q in pairs()[::3]:
                limit = mpmath.fsum(closed_form(a, b, x) for a, b in zip(p, q, strict=True))
                worst = max(worst, abs(_definition(p, q, *near(x, distance)) / limit - 1))
                worst = max(worst, abs(_definition(p, q, *near(x, -distance)) / limit - 1))
        return float(worst)

    def check() -> Finding:
        with mpmath.workdps(120):
            far, close = difference(mpf(10) ** -10), difference(mpf(10) ** -20)
        meaning = "largest relative difference to Definition 4.1 at distance 1e-20, both sides"
        proportional = close <= 1e-9 * far  # the difference goes to 0 with the distance itself
        return small(close, 1e-17 if proportional else 0.0, meaning)

    return check


def _never_negative() -> Finding:
    random = np.random.RandomState(3)
    points = [*AB_GRID, *random.uniform(-3, 3, (80, 2)), *((x, -x + 1e-9) for x in random.uniform(-2, 2, 10))]
    drawn = [draw_logits(6, spread, "float64", 8, 11) for spread in ("1", "10", "near")]
    student, teacher = (np.concatenate(rows) for rows in zip(*drawn, strict=True))
    # one call for p ≠ q and p = q together: what a call costs does not depend on its few rows
    sides = np.concatenate([student, teacher]), np.concatenate([teacher, teacher])
    values = np.stack([ab_divergence(*sides, alpha, beta, reduction="none") for alpha, beta in points])
    least, equal = values[:, : len(student)].min(), values[:, len(student) :].max()
    if equal != 0:
        return Finding(FAILS, float(equal), "value for equal distributions", "it should be 0")
    if not least > 0:
        return Finding(FAILS, float(least), "smallest value for p ≠ q", "it should be above 0")
    return Finding(HOLDS, float(least), f"smallest of {len(student) * len(points)} values for p ≠ q; 0 exactly for p = q")


def _dual() -> Finding:
    with mpmath.workdps(DIGITS + 10):
        differences = [
            abs(divergence(p, q, alpha, beta) / divergence(q, p, beta, alpha) - 1)
            for alpha, beta in AB_GRID
            for p, q in pairs()[::4]
        ]
    return small(float(max(differences)), 1e-35, f"largest relative difference over {len(differences)} values, 40 digits")


def _smooth_in_practice() -> Finding:
    """(1, 1e-6) and (1e-6, 1) against forward and reverse KL."""
    with mpmath.workdps(DIGITS):
        differences = [abs(divergence(p, q, 1, mpf("1e-6")) / kl(p, q) - 1) for p, q in pairs()]
        differences += [abs(divergence(p, q, mpf("1e-6"), 1) / kl(q, p) - 1) for p, q in pairs()]
    figure = float(max(differences))
    return Finding(
        CONDITION if figure < 1e-4 else FAILS,
        figure,
        "largest relative difference at (1, 1e-6) from forward, at (1e-6, 1) from reverse KL",
        "as limits: at (1, 0) and (0, 1) themselves the formula is 0/0, and close to them it cancels",
    )


CLAIMS = (
    _case("table1-forward-kl", "D_AB at (1,0) is forward KL, KL(p‖q).", 1.0, 0.0, kl),
    _case("table1-reverse-kl", "D_AB at (0,1) is reverse KL, KL(q‖p).", 0.0, 1.0, lambda p, q: kl(q, p)),
    _case(
        "table1-alpha-divergence",
        "D_AB with α+β = 1 is the α-divergence (1 − Σ p^α q^(1−α)) / (α(1−α)).",
        0.25,
        0.75,
        _alpha_divergence,
    ),
    _case(
        "table1-beta-divergence",
        "D_AB with α = 1 is the β-divergence.",
        1.0,
        0.7,
        lambda p, q: _basu(p, q) / (1 + mpf(0.7)),
        "with the factor 1/(1+β) to the convention of Basu et al. (1998)",
    ),
    _case(
        "table1-hellinger",
        "D_AB at (½,½) is the squared Hellinger distance.",
        0.5,
        0.5,
        lambda p, q: 4 * _hellinger(p, q),
        "it is 2 Σ(√p−√q)², four times the usual ½ Σ(√p−√q)²",
    ),
    _case(
        "table1-squared-euclidean",
        "D_AB at (1,1) is the squared Euclidean distance.",
        1.0,
        1.0,
        _half_squares,
        "with the factor ½: ½ Σ(p−q)²",
    ),
    Claim(
        "jensen-shannon-at-1-1",
        GROUP,
        "D_AB at (1,1) is related to the Jensen-Shannon divergence.",
        "widely copied",
        _is_jensen_shannon,
    ),
    *(
        Claim(
            f"continuous-at-{key}",
            GROUP,
            f"Definition 4.1 extends by continuity to the case {line}, with the closed form given for it.",
            EXTENSION,
            _continuity(line),
        )
        for key, line in zip(("beta-0", "alpha-0", "opposite", "origin"), _LINES, strict=True)
    ),
    Claim("never-negative", GROUP, "D_AB ≥ 0 for all real (α,β), and 0 only for p = q.", EXTENSION, _never_negative),
    Claim("duality", GROUP, "D_AB^(α,β)(p‖q) = D_AB^(β,α)(q‖p).", EXTENSION, _dual),
    Claim(
        "article-recovers-kl",
        "The article",
        "The loss −1/(αβ) Σ[…] recovers forward KL at (1,0) and reverse KL at (0,1).",
        "the article's recovery claims, in words of this project",
        _smooth_in_practice,
    ),
)
