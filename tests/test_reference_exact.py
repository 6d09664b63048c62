"""The multiprecision definition: known values, its five cases meet, and its digits are right."""

import mpmath
import pytest
from mpmath import mpf

from reference.exact.definition import ab_divergence, ab_divergence_from_logits
from reference.grid import AB_GRID, SPREADS, TEMPERATURES, draw_logits

P = ["0.2", "0.3", "0.5"]
Q = ["0.6", "0.3", "0.1"]


def distributions():
    return [mpf(x) for x in P], [mpf(x) for x in Q]


@pytest.fixture(autouse=True)
def forty_digits():
    with mpmath.workdps(40):
        yield


def close(x, y, digits=35):
    return abs(x - y) <= mpf(10) ** -digits * max(1, abs(y))


def special_values():
    """(α, β) and the divergence that it is, written out as in the paper's Table 1."""
    with mpmath.workdps(60):
        p, q = distributions()
        both = list(zip(p, q, strict=True))
        return {
            (1, 0): sum(a * mpmath.log(a / b) for a, b in both),
            (0, 1): sum(b * mpmath.log(b / a) for a, b in both),
            (0.5, 0.5): 2 * sum((mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 for a, b in both),
            (1, 1): sum((a - b) ** 2 for a, b in both) / 2,
            (0, 0): sum(mpmath.log(a / b) ** 2 for a, b in both) / 2,
            (2, -1): (sum(a**2 / b for a, b in both) - 1) / 2,
        }


@pytest.mark.parametrize("pair", list(special_values()), ids=str)
def test_special_cases_of_the_paper(pair):
    value = ab_divergence(p=P, q=Q, alpha=pair[0], beta=pair[1])
    assert close(value, special_values()[pair])


@pytest.mark.parametrize("line", [(0.7, 0.0), (0.0, -1.3), (0.4, -0.4), (0.0, 0.0)], ids=str)
def test_each_limit_is_what_the_general_case_tends_to(line):
    limit = ab_divergence(p=P, q=Q, alpha=line[0], beta=line[1])
    step = mpf("1e-25")
    near = ab_divergence(p=P, q=Q, alpha=line[0] + step, beta=line[1] + 2 * step)
    assert close(near, limit, digits=22)
    assert near != limit


def test_exchanging_the_sides_exchanges_alpha_and_beta():
    assert close(ab_divergence(p=P, q=Q, alpha=2, beta=-0.5), ab_divergence(p=Q, q=P, alpha=-0.5, beta=2))


@pytest.mark.parametrize("pair", [(0.3, 0.5), (0, 0.5), (0.5, 0), (1, -1), (0, 0), (1, 1e-12)], ids=str)
def test_gradient_is_the_derivative_of_the_value(pair):
    student, teacher, step = [1, -2, "0.5"], [0, 1, "0.25"], mpf("1e-15")

    def value(place, by):
        moved = [mpf(z) + (by if k == place else 0) for k, z in enumerate(student)]
        return ab_divergence_from_logits(
            student_logits=moved, teacher_logits=teacher, alpha=pair[0], beta=pair[1], temperature=1.5
        )[0]

    _, gradient = ab_divergence_from_logits(
        student_logits=student, teacher_logits=teacher, alpha=pair[0], beta=pair[1], temperature=1.5
    )
    for place in range(3):
        assert close(gradient[place], (value(place, step) - value(place, -step)) / (2 * step), digits=25)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_twice_the_digits_agree_in_all_the_digits_of_the_first(spread, temperature):
    student, teacher = (side[0].tolist() for side in draw_logits(10, spread, "float64", 1, seed=3))
    for alpha, beta in AB_GRID:
        arguments = {"alpha": alpha, "beta": beta, "temperature": temperature}
        arguments |= {"student_logits": student, "teacher_logits": teacher}
        value, gradient = ab_divergence_from_logits(**arguments, digits=20)
        better, better_gradient = ab_divergence_from_logits(**arguments, digits=300)
        assert abs(value - better) <= mpf(10) ** -20 * better
        largest = max(map(abs, better_gradient))
        assert all(abs(x - y) <= mpf(10) ** -20 * largest for x, y in zip(gradient, better_gradient, strict=True))


def test_digits_hold_for_a_value_as_small_as_exp_of_minus_4000():
    value, _ = ab_divergence_from_logits(student_logits=[0, 5000], teacher_logits=[0, 4000], alpha=1, beta=0)
    p, q = mpmath.exp(-4000), mpmath.exp(-5000)
    assert mpmath.fabs(value / (p * 999 + q) - 1) < mpf("1e-38")


def test_repeated_classes_count_as_often_as_they_occur():
    with mpmath.workdps(60):
        single = ab_divergence(p=["0.4", "0.6"], q=["0.2", "0.8"], alpha=0.3, beta=0.4)
        half = ab_divergence(p=["0.2", "0.2", "0.6"], q=["0.1", "0.1", "0.8"], alpha=0.3, beta=0.4)
        first = ab_divergence(p=["0.4"], q=["0.2"], alpha=0.3, beta=0.4)
        small = ab_divergence(p=["0.2"], q=["0.1"], alpha=0.3, beta=0.4)
        assert close(half - 2 * small, single - first)


def test_equal_sides_give_exactly_zero():
    value, gradient = ab_divergence_from_logits(student_logits=[1, 2, 3], teacher_logits=[2, 3, 4], alpha=2, beta=-1)
    assert value == 0 and gradient == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": float("nan")}, "alpha is nan; it must be a finite real number"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"temperature": 0}, "temperature is 0; it must be a finite number above 0"),
        ({"teacher_logits": [1.0]}, "teacher_logits has 1 entries and student_logits 2"),
        ({"student_logits": ["a", 1.0]}, "student_logits holds 'a'; it must be a real number"),
        ({"digits": 0}, "digits is 0; it must be an integer, at least 1"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"student_logits": [0.0, 1.0], "teacher_logits": [1.0, 0.0], "alpha": 1, "beta": 0} | change
    with pytest.raises(ValueError, match=message):
        ab_divergence_from_logits(**arguments)


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        ([0.5, 0.5], [1.0], "q has 1 entries; it must have as many as p, 2"),
        ([-0.5, 1.5], [0.5, 0.5], "p holds -0.5; probabilities must be finite and not negative"),
        ([], [], "p is empty"),
    ],
)
def test_bad_probabilities_are_named(p, q, message):
    with pytest.raises(ValueError, match=message):
        ab_divergence(p=p, q=q, alpha=1, beta=0)
