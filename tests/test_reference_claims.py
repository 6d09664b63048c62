"""The claims: every verdict, the figures that are known beforehand, and that they are the same on every run."""

import math
import time

import pytest

from reference import claims
from reference.claims.claim import CONDITION, FAILS, HOLDS, Finding

VERDICTS = {
    "table1-forward-kl": HOLDS,
    "table1-reverse-kl": HOLDS,
    "table1-alpha-divergence": HOLDS,
    "table1-beta-divergence": CONDITION,
    "table1-hellinger": CONDITION,
    "table1-squared-euclidean": CONDITION,
    "jensen-shannon-at-1-1": FAILS,
    "continuous-at-beta-0": HOLDS,
    "continuous-at-alpha-0": HOLDS,
    "continuous-at-opposite": HOLDS,
    "continuous-at-origin": HOLDS,
    "never-negative": HOLDS,
    "duality": HOLDS,
    "log-ratio-identity": HOLDS,
    "step-bound": HOLDS,
    "smaller-alpha-harder": CONDITION,
    "larger-beta-surer": HOLDS,
    "kl-extremes": CONDITION,
    "forward-kl-moves-alike": CONDITION,
    "reverse-kl-raises": HOLDS,
    "reverse-kl-lowers": CONDITION,
    "jsd-gradient-vanishes": HOLDS,
    "wsd-explodes": HOLDS,
    "code-beta-0": FAILS,
    "code-alpha-0": FAILS,
    "code-opposite": FAILS,
    "code-copies-on-lines": FAILS,
    "code-float-equality": FAILS,
    "code-near-lines": FAILS,
    "code-near-teacher": FAILS,
    "code-underflow": FAILS,
    "code-forbidden": FAILS,
    "code-old-factor": FAILS,
    "code-reductions": FAILS,
    "article-recovers-kl": CONDITION,
    "article-alpha": CONDITION,
    "article-beta": HOLDS,
    "article-epsilon": FAILS,
    "article-scores": FAILS,
}


@pytest.fixture(scope="module")
def found():
    started = time.perf_counter()
    checked = {claim.name: finding for claim, finding in claims.check_all()}
    checked["seconds"] = time.perf_counter() - started
    return checked


def test_every_claim_has_its_verdict(found):
    assert {name: finding.verdict for name, finding in found.items() if name != "seconds"} == VERDICTS


def test_every_claim_has_a_figure_its_meaning_and_a_source(found):
    for name, claim in claims.CLAIMS.items():
        assert math.isfinite(found[name].figure) and found[name].meaning and claim.source
        assert claim.statement.endswith(".")


def test_the_figures_that_are_known_beforehand(found):
    for name in ("code-beta-0", "code-alpha-0", "code-opposite"):
        assert found[name].figure == pytest.approx(0.5, rel=1e-12)  # 1/α instead of 1/α² at α = ½
        assert "2 times" in found[name].remark and "-1 times" in found[name].remark
    assert found["code-old-factor"].figure == pytest.approx(0.9 / 0.14, rel=1e-12)
    assert found["code-reductions"].figure == pytest.approx(1600)
    assert found["code-underflow"].figure == found["code-forbidden"].figure == 1
    assert found["wsd-explodes"].figure == pytest.approx(1000, rel=1e-3)
    assert found["article-scores"].figure == pytest.approx(38.2 - 23.14)


def test_all_take_seconds(found):
    assert found["seconds"] < 60  # about 5 on a free core


@pytest.mark.parametrize("name", ["never-negative", "step-bound", "code-near-lines", "reverse-kl-lowers"])
def test_a_check_gives_the_same_on_every_run(found, name):
    assert claims.check(name) == found[name]


def test_an_unknown_claim_lists_the_known():
    with pytest.raises(ValueError, match=r"claim 'x' is not known; choose from table1-forward-kl"):
        claims.check("x")


def test_a_verdict_other_than_holds_says_what_is_true():
    with pytest.raises(ValueError, match="must say what is true"):
        Finding(FAILS, 1.0, "a figure")
