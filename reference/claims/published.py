"""Claims that the published code and the article make by what they compute, checked with their formulas written anew.

The statement of each is what a user takes for granted; the figure is how far the formula is from it.
"""

from collections.abc import Callable

import numpy as np

from reference import published_code
from reference.claims.claim import FAILS, HOLDS, Claim, Finding
from reference.divergences import ab_divergence
from reference.grid import draw_logits
from reference.published_code import softmax

CODE = "The published code"
ARTICLE = "The article"
NOW = "published code of the ABKD paper, 2025-07-05"

# scores of GPT-2 XL to GPT-2 on Dolly, Self-Instruct, S-NI, UnNI: the paper's Table 2 and the article's
PAPER_SCORES = {"SFT": (23.14, 10.22, 17.41, 19.76), "KD": (23.80, 10.01, 17.69, 18.99), "ABKD": (25.65, 13.47, 26.47, 29.32)}
ARTICLE_SCORES = {"SFT": (38.2, 40.1, 42.3, 39.8), "KD": (40.1, 41.7, 43.6, 41.2), "ABKD": (43.7, 44.9, 46.8, 45.3)}


def _ratio(alpha: float, beta: float, formula: Callable = published_code.ab_divergence) -> float:
    """Published value over the definition's, in float64, on ordinary logits."""
    student, teacher = draw_logits(10, "1", "float64", 16, 2)
    published = formula(softmax(teacher), softmax(student), alpha, beta)
    return float(np.mean(published / ab_divergence(student, teacher, alpha, beta, reduction="none")))


def _line(points: Callable[[float], tuple[float, float]], line: str, factor: str) -> Callable[[], Finding]:
    def check() -> Finding:
        half, twice, minus = (_ratio(*points(x)) for x in (0.5, 2.0, -1.0))
        right = abs(half - 1) < 1e-9
        return Finding(
            HOLDS if right else FAILS,
            half,
            f"published value over the limit at {_text(points(0.5))}",
            ""
            if right
            else f"it scales by 1/{factor} where the limit on {line} needs 1/{factor}²: {twice:.3g} times "
            f"at {_text(points(2.0))}, {minus:.3g} times, so negative, at {_text(points(-1.0))}",
        )

    return check


def _text(point: tuple[float, float]) -> str:
    return f"({point[0]:g}, {point[1]:g})"


def _copies_divide_by_zero() -> Finding:
    student, teacher = draw_logits(10, "1", "float64", 1, 2)
    points = ((0.5, 0.0), (0.0, 0.5), (0.5, -0.5), (0.0, 0.0))
    values = [published_code.general_branch(softmax(teacher), softmax(student), *point)[0] for point in points]
    broken = int((~np.isfinite(values)).sum())
    return Finding(
        FAILS if broken else HOLDS,
        broken,
        "of 4 points on the lines that are not a finite number",
        "the copies have the general branch alone, and divide by zero" if broken else "",
    )


def _float_equality() -> Finding:
    """α = .1 + .2 and β = −.3 in float32: α + β is 5.6e-17, not 0."""
    student, teacher = draw_logits(100, "1", "float32", 16, 2)
    alpha, beta = 0.1 + 0.2, -0.3
    value = published_code.ab_divergence(softmax(teacher), softmax(student), alpha, beta)
    true = ab_divergence(student, teacher, alpha, beta, reduction="none")
    with np.errstate(all="ignore"):
        errors = np.abs(value / true - 1)
    return Finding(
        FAILS,
        float(np.nanmedian(errors)),
        "median relative error at (.1+.2, −.3), float32",
        "α + β is 5.6e-17 there, so the branch for the line is missed and α/(α+β) is 5e15",
    )


def _near_the_line() -> Finding:
    student, teacher = draw_logits(50257, "1", "float32", 8, 2)
    value = published_code.ab_divergence(softmax(teacher), softmax(student), 1.0, 1e-6)
    figure = float(np.abs(value / ab_divergence(student, teacher, 1.0, 1e-6, reduction="none") - 1).max())
    return Finding(
        FAILS if figure > 1e-3 else HOLDS,
        figure,
        "largest relative error of 8 rows at (1, 1e-6), V = 50,257, float32",
        "the terms cancel to one part in a million before 1/(αβ) multiplies what is left; other inputs gave 2.14",
    )


def _near_the_teacher() -> Finding:
    student, teacher = draw_logits(50257, "near", "float32", 4, 2)
    value = published_code.ab_divergence(softmax(teacher), softmax(student), 0.5, 0.5)
    figure = float(np.abs(value / ab_divergence(student, teacher, 0.5, 0.5, reduction="none") - 1).max())
    return Finding(
        FAILS if figure > 1e-3 else HOLDS,
        figure,
        "largest relative error of 4 rows at (.5, .5), V = 50,257, float32, logits 0.01 apart",
        "the divergence is of the order of the difference squared, the terms that it is left of are of the order of 1",
    )


def _underflow() -> Finding:
    student, teacher = (np.array([[x, 0, 1, -1]], np.float32) for x in (-200.0, 2.0))
    gradient = published_code.logit_gradient(student, teacher, 0.2, 0.7)
    broken = float(np.isnan(gradient).mean())
    return Finding(
        FAILS if broken else HOLDS,
        broken,
        "share of a row's gradient that is NaN, q = 0 at 1 of 4 classes",
        "0 · ∞ at that class, and the softmax spreads it over the whole row" if broken else "",
    )


def _forbidden_on_both_sides() -> Finding:
    """A class masked with −inf: the value of the KL branch and the gradient of the general one."""
    student, teacher = (np.array([[x, 0, 1, -np.inf]], np.float32) for x in (1.0, 2.0))
    value = published_code.ab_divergence(softmax(teacher), softmax(student), 1.0, 0.0)
    gradient = published_code.logit_gradient(student, teacher, 0.2, 0.7)
    broken = float(np.isnan([*value, *gradient[0]]).mean())
    return Finding(
        FAILS if broken else HOLDS,
        broken,
        "share of value at (1, 0) and gradient at (.2, .7) that is NaN",
        "0 · log(0/0) and 0 · ∞; such a class should count nothing" if broken else "",
    )


def _old_factor() -> Finding:
    figure = 1 / _ratio(0.2, 0.7, published_code.ab_divergence_before_june_2025)
    return Finding(
        FAILS,
        figure,
        "D_AB over the value of that code at (.2, .7)",
        "by the bytecode that it ships they divided by α+β instead of αβ: smaller by (α+β)/(αβ), so weights do not carry over",
    )


def _reductions() -> Finding:
    """The same logits [8 sentences, 16 tokens, 100 classes], half of the tokens padding, reduced in three ways."""
    student, teacher = draw_logits(100, "1", "float64", 128, 2)
    rows = ab_divergence(student, teacher, 0.2, 0.7, reduction="none").reshape(8, 16)
    valid = np.arange(16) < 8
    per_token = rows[:, valid].mean()
    per_batch, per_entry = rows.sum() / 8, rows.sum() / (8 * 16 * 100)
    return Finding(
        FAILS,
        float(per_batch / per_entry),
        "mean over the batch over mean over batch × tokens × classes",
        f"mean over the batch {per_batch:.3g}, over all entries {per_entry:.3g}, over valid tokens {per_token:.3g}: a "
        "weight tuned with one copy means something else in another",
    )


def _snippet() -> Finding:
    student, teacher = draw_logits(50257, "10", "float32", 4, 2)
    value = published_code.article_snippet(student, teacher, 0.2, 0.7)
    errors = np.abs(value / ab_divergence(student, teacher, 0.2, 0.7, reduction="none") - 1)
    return Finding(
        FAILS if errors.max() > 1e-3 else HOLDS,
        float(errors.max()),
        "largest relative error of 4 rows at (.2, .7), V = 50,257, logits of spread 10",
        "most classes lie below 1e-8 there: what is added is more than what is there",
    )


def _scores() -> Finding:
    gaps = [a - b for name in PAPER_SCORES for a, b in zip(ARTICLE_SCORES[name], PAPER_SCORES[name], strict=True)]
    return Finding(
        FAILS,
        min(gaps),
        "smallest difference in ROUGE-L between the article's and the paper's tables, 12 figures",
        "contradicted by the paper's Table 2 and without a traceable source; never a target",
    )


CLAIMS = (
    Claim(
        "code-beta-0", CODE, "On β = 0 the published code returns the divergence.", NOW, _line(lambda x: (x, 0.0), "β = 0", "α")
    ),
    Claim(
        "code-alpha-0",
        CODE,
        "On α = 0 the published code returns the divergence.",
        NOW,
        _line(lambda x: (0.0, x), "α = 0", "β"),
    ),
    Claim(
        "code-opposite",
        CODE,
        "On α + β = 0 the published code returns the divergence.",
        NOW,
        _line(lambda x: (x, -x), "α + β = 0", "α"),
    ),
    Claim(
        "code-copies-on-lines",
        CODE,
        "Its copies for CLIP, DKD, LSD and TTM are finite on the lines.",
        NOW,
        _copies_divide_by_zero,
    ),
    Claim("code-float-equality", CODE, "α + β = 0 is recognised.", NOW, _float_equality),
    Claim("code-near-lines", CODE, "Near the lines float32 is accurate enough.", NOW, _near_the_line),
    Claim("code-near-teacher", CODE, "A student close to its teacher is measured well in float32.", NOW, _near_the_teacher),
    Claim("code-underflow", CODE, "A student's probability may underflow.", NOW, _underflow),
    Claim("code-forbidden", CODE, "Logits may be −inf on both sides.", NOW, _forbidden_on_both_sides),
    Claim(
        "code-old-factor",
        CODE,
        "The runs of the paper used Definition 4.1.",
        "published code of the ABKD paper before 2025-06-05",
        _old_factor,
    ),
    Claim("code-reductions", CODE, "Its three copies reduce to the same number.", NOW, _reductions),
    Claim("article-epsilon", ARTICLE, "Adding 1e-8 to the probabilities changes nothing.", "the article's snippet", _snippet),
    Claim("article-scores", ARTICLE, "Its ROUGE-L scores are those of the paper.", "the article's table", _scores),
)
