"""The float64 code of the loss catalogue against the golden cases, its limits, and the definitions' own derivatives."""

import math

import mpmath
import numpy as np
import pytest
from mpmath import libmp, mpf

from reference.accurate import log1p_gap
from reference.catalogue import DIVERGENCES
from reference.golden.compute import load
from reference.grid import draw_logits

NAMES = [name for name in DIVERGENCES if name != "ab_divergence"]
INF = math.inf
# measured: 2e-15; the bar leaves room for other platforms' exp and log
BOUND = 1e-13
ABSOLUTE_BELOW = 1e-12


def evaluate(name, student, teacher, parameters, **options):
    return DIVERGENCES[name].reference(student, teacher, *parameters.values(), **{"reduction": "none", **options})


def exact(name, student, teacher, parameters, temperature=1.0, digits=20):
    raw = [libmp.from_float(float(x)) for x in parameters.values()]
    return DIVERGENCES[name].exact(student, teacher, temperature).value_and_gradient(*raw, digits=digits)


def size(x):
    return np.where(np.abs(x) > ABSOLUTE_BELOW, np.abs(x), 1.0)


@pytest.mark.parametrize("spread", ["1", "10", "100", "near", "1000"])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_golden_cases(name, spread):
    bound = 1e-12 if spread == "1000" else BOUND
    for case in load(name, spread=spread):
        value, gradient = evaluate(name, *case.inputs(), case.parameters, temperature=case.temperature)
        assert (np.abs(value - case.value) <= bound * size(case.value)).all(), case.name
        entries = np.take_along_axis(gradient, case.gradient_index, axis=-1)
        errors = np.abs(entries - case.gradient_entries).max(axis=-1) / size(case.gradient_max)
        assert (errors <= bound).all(), (case.name, errors.max())


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_gradient_is_the_derivative_of_the_exact_value(name):
    student, teacher = ["0.5", "-2", "1.25", "0.125"], [0, 1, "0.25", -1]
    step = mpf("1e-12")
    for parameters in DIVERGENCES[name].grid:
        _, gradient = exact(name, student, teacher, parameters, 1.5, digits=40)
        for place in range(4):
            values = []
            for by in (step, -step):
                with mpmath.workdps(60):
                    moved = [mpf(z) + (by if k == place else 0) for k, z in enumerate(student)]
                values.append(exact(name, moved, teacher, parameters, 1.5, digits=40)[0])
            with mpmath.workdps(60):
                wanted = (values[0] - values[1]) / (2 * step)
                if name == "adaptive_kl":
                    continue  # its weight is held constant
                assert abs(mpmath.mp.make_mpf(gradient[place]) - wanted) < mpf("1e-20")


def test_the_weight_of_adaptive_kl_is_constant_in_its_gradient():
    student, teacher = [0.5, -2.0, 1.25, 0.125], [0.0, 1.0, 0.25, -1.0]
    value, gradient = evaluate("adaptive_kl", student, teacher, {"head": 0.5})
    (forward, forward_slope), (reverse, reverse_slope) = (
        evaluate(name, student, teacher, {}) for name in ("forward_kl", "reverse_kl")
    )
    weight = (value - reverse) / (forward - reverse)
    assert 0 < weight < 1
    np.testing.assert_allclose(gradient, weight * forward_slope + (1 - weight) * reverse_slope, rtol=1e-12)
    p, q = (np.exp(z) / np.exp(z).sum() for z in (np.array(teacher), np.array(student)))
    assert weight == pytest.approx(abs(p - q)[1] / abs(p - q).sum(), rel=1e-12)  # p_1 = .53 is more than the head: alone


@pytest.mark.parametrize("name", NAMES)
def test_equal_distributions_have_no_divergence(name):
    logits = np.round(np.random.RandomState(0).standard_normal((5, 7)) * 512) / 64
    for parameters in DIVERGENCES[name].grid:
        value, gradient = evaluate(name, logits, logits + 3.0, parameters)
        assert (value == 0).all() and (gradient == 0).all()


# (student logits, teacher logits) of rows that hold −inf
FORBIDDEN = {
    "both": ([1.0, -INF, 0.3, -2.0], [0.5, -INF, 1.0, 0.0]),
    "teacher only": ([1.0, 0.2, 0.3, -2.0], [0.5, -INF, 1.0, 0.0]),
    "student only": ([1.0, -INF, 0.3, -2.0], [0.5, 0.7, 1.0, 0.0]),
    "each": ([-INF, 2.0, -INF, -1.0], [1.0, -INF, -INF, 3.0]),
    "disjoint": ([-INF, 2.0, -INF, -INF], [1.0, -INF, 3.0, -INF]),
    "the student's top": ([0.0, 5.0, 1.0, 2.0], [0.0, -INF, 1.0, 1.0]),
}


@pytest.mark.parametrize("row", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("name", NAMES)
def test_forbidden_classes_agree_with_multiprecision(name, row):
    for parameters in DIVERGENCES[name].grid:
        value, gradient = evaluate(name, *row, parameters)
        wanted, wanted_gradient = exact(name, *row, parameters)
        assert value == float(wanted) or abs(value - float(wanted)) <= 1e-14 * float(wanted)
        wanted_gradient = np.array([libmp.to_float(x) for x in wanted_gradient])
        assert np.abs(gradient - wanted_gradient).max() <= 1e-14 * max(np.abs(wanted_gradient).max(), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_masked_rows_reach_nothing_and_reductions_agree(name):
    student, teacher = draw_logits(6, "10", "float64", 3, 1)
    parameters = DIVERGENCES[name].grid[0]
    rows, slopes = evaluate(name, student[1:2], teacher[1:2], parameters)
    student[0], teacher[2, 0] = np.nan, INF
    mask = np.array([False, True, False])
    for reduction in ("none", "sum", "mean"):
        value, gradient = evaluate(name, student, teacher, parameters, mask=mask, reduction=reduction)
        assert np.sum(value) == rows[0]
        np.testing.assert_array_equal(gradient, [[0] * 6, slopes[0], [0] * 6])
    assert np.isnan(evaluate(name, student, teacher, parameters)[0]).tolist() == [True, False, True]


def test_alphanet_compares_means_unless_rows_are_asked_for():
    student, teacher = draw_logits(6, "1", "float64", 8, 1)
    parameters = {"alpha_min": 0.2, "alpha_max": 0.8}
    low, high = (evaluate("alpha_divergence", student, teacher, {"alpha": a})[0] for a in (0.2, 0.8))
    assert 0 < (high > low).sum() < 8
    np.testing.assert_array_equal(evaluate("alphanet", student, teacher, parameters)[0], np.maximum(low, high))
    mean = evaluate("alphanet", student, teacher, parameters, reduction="mean")[0]
    assert mean == max(low.sum() / 8, high.sum() / 8)


def test_the_gap_of_the_logarithm_is_accurate_near_zero():
    for u in (1e-300, -1e-9, 1e-5, 0.3, -0.4999, 0.5, -0.5, 0.7, -0.999, 1e10):
        with mpmath.workdps(50):
            wanted = float(mpf(u) - mpmath.log1p(mpf(u)))
        assert log1p_gap(np.array(u)) == pytest.approx(wanted, rel=1e-15, abs=0)
    assert log1p_gap(np.array(-1.0)) == INF and log1p_gap(np.array(INF)) == INF and log1p_gap(np.array(0.0)) == 0


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("jensen_shannon", {"weight": 1.0}, "weight is 1.0; it must be a number above 0 and below 1"),
        ("skewed_forward_kl", {"weight": 0}, "weight is 0"),
        ("adaptive_kl", {"head": -0.5}, "head is -0.5"),
        ("bidirectional_kl", {"low": -1.0, "high": 1.0}, "low is -1.0; it must be a finite number, at least 0"),
        ("alphanet", {"alpha_min": math.nan, "alpha_max": 1.0}, "alpha_min is nan"),
        ("alpha_divergence", {"alpha": "a"}, "alpha is 'a'"),
    ],
)
def test_bad_parameters_are_named(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        evaluate(name, [[0.0, 1.0]], [[1.0, 0.0]], parameters)
