"""The float64 NumPy divergence against multiprecision, and its treatment of −inf, NaN, masks and bad input."""

import math

import numpy as np
import pytest

from reference.catalogue import DIVERGENCES
from reference.divergences import ab_divergence, ab_divergence_and_gradient
from reference.divided_differences import decay, second_order
from reference.exact.definition import ab_divergence_from_logits
from reference.golden.compute import load
from reference.grid import AB_GRID, CLASSES, DTYPES, SPREADS

# A few eps would do for what is measured (1e-15 to 5e-15); the bar leaves room for other platforms' exp and log.
BOUND = 1e-13
ABSOLUTE_BELOW = 1e-12
INF = math.inf


def relative(got, want):
    """|got − want| / |want|, absolute where want is below 1e-12."""
    return abs(got - want) / (abs(want) if abs(want) > ABSOLUTE_BELOW else 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("spread", [spread for spread in SPREADS if spread != "1000"])
def test_agrees_with_the_golden_cases(spread, classes, dtype):
    cases = load(spread=spread, classes=classes, dtype=dtype)
    assert len(cases) == 3 * len(AB_GRID)
    student, teacher = cases[0].inputs()
    worst = []
    for case in cases:
        value, gradient = ab_divergence_and_gradient(
            student, teacher, **case.parameters, temperature=case.temperature, reduction="none"
        )
        for row in range(case.rows):
            size = case.gradient_max[row] if case.gradient_max[row] > ABSOLUTE_BELOW else 1.0
            entries = gradient[row, case.gradient_index[row]]
            worst.append((relative(value[row], case.value[row]), case.name, "value", value[row], case.value[row]))
            difference = np.abs(entries - case.gradient_entries[row]).max() / size
            worst.append((difference, case.name, "gradient", entries, case.gradient_entries[row]))
            assert np.abs(gradient[row]).max() <= size * (1 + BOUND) or size == 1.0
    bad = [entry for entry in worst if not entry[0] <= BOUND]
    assert not bad, f"{len(bad)} of {len(worst)} beyond {BOUND}; the worst: {max(bad, key=lambda entry: entry[0])}"


@pytest.mark.parametrize("classes", CLASSES)
def test_spread_1000_has_the_golden_values_and_no_nan(classes):
    # Some derivatives are beyond float64 here; which of the other entries of such a row survive is not promised.
    for case in load(spread="1000", classes=classes, dtype="float32"):
        student, teacher = case.inputs()
        value, gradient = ab_divergence_and_gradient(
            student, teacher, **case.parameters, temperature=case.temperature, reduction="none"
        )
        assert not np.isnan(gradient).any()
        for row in range(case.rows):
            assert value[row] == case.value[row] or relative(value[row], case.value[row]) < 1e-12, case.name
            largest = np.abs(gradient[row]).max()
            assert largest == case.gradient_max[row] or relative(largest, case.gradient_max[row]) < 1e-12, case.name


@pytest.mark.parametrize("pair", [*AB_GRID, (3.0, 2.0), (-1.0, -1.0), (-2.0, 0.5)], ids=str)
def test_is_never_negative_and_zero_for_equal_logits(pair):
    student = np.round(np.random.RandomState(0).standard_normal((50, 7)) * 512) / 64  # adding 3 does not round
    assert (ab_divergence(student, student[:, ::-1], *pair, reduction="none") >= 0).all()
    value, gradient = ab_divergence_and_gradient(student, student + 3.0, *pair, reduction="none")
    assert (value == 0).all() and (gradient == 0).all()


def test_the_series_and_the_closed_form_meet():
    for upper, lower in ((0.3, 0.7), (0.0, 1.0), (1.0, 0.0), (0.999, 0.001)):
        below, above = second_order(np.array([1 - 1e-15, 1.0]), upper, lower)
        assert abs(below / above - 1) < 5e-15
    assert second_order(np.array([3.0]), 0.0, 0.0)[0] == 4.5
    assert decay(np.array([2.0]), 0.0)[0] == 2.0


# (student logits, teacher logits) of rows that hold −inf
FORBIDDEN = {
    "both": ([1.0, -INF, 0.3, -2.0], [0.5, -INF, 1.0, 0.0]),
    "teacher only": ([1.0, 0.2, 0.3, -2.0], [0.5, -INF, 1.0, 0.0]),
    "student only": ([1.0, -INF, 0.3, -2.0], [0.5, 0.7, 1.0, 0.0]),
    "each": ([-INF, 2.0, -INF, -1.0], [1.0, -INF, -INF, 3.0]),
    "disjoint": ([-INF, 2.0, -INF, -INF], [1.0, -INF, 3.0, -INF]),
    "one class left": ([3.0, -INF, -INF, -INF], [1.0, 1.0, 1.0, 1.0]),
    "the student's top": ([0.0, 5.0, 1.0, 2.0], [0.0, -INF, 1.0, 1.0]),
}
SIGNS = [(-0.7, 0.0), (0.0, -0.4), (-1.0, -1.0), (-0.5, 0.5), (-1.0, 0.5), (0.5, -1.0)]


def probabilities(logits):
    weights = np.exp(np.array(logits) - max(logits))
    return weights / weights.sum()


@pytest.mark.parametrize("row", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("pair", [*AB_GRID, *SIGNS], ids=str)
def test_forbidden_classes_agree_with_multiprecision(pair, row):
    for temperature in (1.0, 1.5):
        value, gradient = ab_divergence_and_gradient(*row, *pair, temperature=temperature, reduction="none")
        exact, exact_gradient = ab_divergence_from_logits(
            student_logits=row[0], teacher_logits=row[1], alpha=pair[0], beta=pair[1], temperature=temperature, digits=20
        )
        assert value == float(exact) or relative(value, float(exact)) < 1e-14
        wanted = np.array([float(x) for x in exact_gradient])
        assert np.abs(gradient - wanted).max() <= 1e-14 * np.abs(wanted).max()


@pytest.mark.parametrize("pair", [*AB_GRID, *SIGNS], ids=str)
def test_a_class_that_both_forbid_counts_nothing(pair):
    with_it = ab_divergence_and_gradient(*FORBIDDEN["both"], *pair)
    without = ab_divergence_and_gradient([1.0, 0.3, -2.0], [0.5, 1.0, 0.0], *pair)
    assert with_it[0] == without[0]
    np.testing.assert_array_equal(with_it[1], np.insert(without[1], 1, 0.0))


@pytest.mark.parametrize("pair", [*AB_GRID, *SIGNS], ids=str)
def test_a_class_that_only_the_teacher_forbids(pair):
    alpha, beta = pair
    student, teacher = FORBIDDEN["teacher only"]
    value, gradient = ab_divergence_and_gradient(student, teacher, alpha, beta)
    q, p = probabilities(student), probabilities(teacher)
    terms = [exact_term(p[k], q[k], *pair) for k in (0, 2, 3)]
    added = q[1] ** (alpha + beta) / (alpha * (alpha + beta)) if alpha > 0 and alpha + beta > 0 else INF
    assert value == pytest.approx(sum(terms) + added, rel=1e-3)
    slopes = np.array([q[k] ** beta * slope(p[k], q[k], alpha) if k != 1 else 0.0 for k in range(4)])
    if alpha > 0:
        slopes[1] = -(q[1] ** (alpha + beta)) / alpha
    np.testing.assert_allclose(gradient, q * slopes.sum() - slopes, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("pair", [*AB_GRID, *SIGNS], ids=str)
def test_a_class_that_only_the_student_forbids(pair):
    alpha, beta = pair
    student, teacher = FORBIDDEN["student only"]
    value, gradient = ab_divergence_and_gradient(student, teacher, alpha, beta)
    q, p = probabilities(student), probabilities(teacher)
    terms = [exact_term(p[k], q[k], *pair) for k in (0, 2, 3)]
    added = p[1] ** (alpha + beta) / (beta * (alpha + beta)) if beta > 0 and alpha + beta > 0 else INF
    assert value == pytest.approx(sum(terms) + added, rel=1e-3)
    slopes = np.array([q[k] ** beta * slope(p[k], q[k], alpha) if k != 1 else 0.0 for k in range(4)])
    if beta == 0 and alpha > 0:
        slopes[1] = p[1] ** alpha / alpha
    elif beta > 0 and alpha + beta == 0:
        slopes[1] = 1 / beta
    wanted = q * slopes.sum() - slopes
    wanted[1] = 0.0  # a forbidden class stays so
    np.testing.assert_allclose(gradient, wanted, rtol=1e-8, atol=1e-10)


def exact_term(p, q, alpha, beta):
    """One term of the sum by the divided difference, at three exponents, computed in the plainest way."""
    s, t = math.log(p), math.log(q)
    nodes = [(alpha + beta) * t, alpha * s + beta * t, (alpha + beta) * s]
    centre = sum(nodes) / 3
    # exp[x0, x1, x2] = Σ_k h_k(nodes) / (k + 2)!, h_k the complete homogeneous symmetric polynomials
    x, y, z = (node - centre for node in nodes)
    total = 0.0
    for k in range(40):
        total += sum(x**i * y**j * z ** (k - i - j) for i in range(k + 1) for j in range(k + 1 - i)) / math.factorial(k + 2)
    return (s - t) ** 2 * math.exp(centre) * total


def slope(p, q, alpha):
    return math.log(p / q) if alpha == 0 else (p**alpha - q**alpha) / alpha


@pytest.mark.parametrize(
    "bad", [[math.nan, 0.0, 1.0], [INF, 0.0, 1.0], [-INF, -INF, -INF]], ids=["NaN", "+inf", "no finite logit"]
)
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_a_row_without_a_distribution_is_nan_unless_masked(bad, side):
    good = [[0.0, 1.0, 2.0], [3.0, 1.0, 2.0]]
    spoilt = [good[0], bad]
    student, teacher = (spoilt, good) if side == "student" else (good, spoilt)
    value, gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2, reduction="none")
    assert np.isnan(value).tolist() == [False, True]
    assert np.isnan(gradient).all(axis=-1).tolist() == [False, True]
    assert np.isnan(ab_divergence(student, teacher, 0.8, 0.2))
    for reduction in ("none", "sum", "mean"):
        value, gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2, mask=[True, False], reduction=reduction)
        assert np.isfinite(value).all() and (gradient[1] == 0).all()


def test_a_value_beyond_float64_is_inf_and_its_gradient_has_no_nan():
    value, gradient = ab_divergence_and_gradient([0.0, 2000.0, 1.0], [0.0, 0.0, 3.0], 2.0, -1.0)
    assert value == INF
    assert gradient[0] == -INF and gradient[1] == INF and not np.isnan(gradient).any()


@pytest.mark.parametrize("pair", AB_GRID, ids=str)
def test_masks_of_the_largest_float_do_not_make_nan(pair):
    lowest = np.finfo(np.float64).min
    for student, teacher in (([0.0, lowest, 1.0], [1.0, lowest, 0.0]), ([0.0, lowest, 1.0], [1.0, 0.0, 0.0])):
        assert not np.isnan(ab_divergence_and_gradient(student, teacher, *pair)[1]).any()


def test_a_mask_selects_rows():
    student, teacher = np.random.RandomState(1).standard_normal((2, 2, 3, 5))
    mask = np.array([[True, False, True], [False, False, True]])
    value, gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2, mask=mask)
    chosen, chosen_gradient = ab_divergence_and_gradient(student[mask], teacher[mask], 0.8, 0.2)
    assert value == chosen
    np.testing.assert_array_equal(gradient[mask], chosen_gradient)
    assert (gradient[~mask] == 0).all()


def test_reductions():
    student, teacher = np.random.RandomState(2).standard_normal((2, 4, 3, 5))
    values, gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2, reduction="none")
    assert values.shape == (4, 3)
    total, total_gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2, reduction="sum")
    mean, mean_gradient = ab_divergence_and_gradient(student, teacher, 0.8, 0.2)
    assert total == pytest.approx(values.sum(), rel=1e-14) and mean == pytest.approx(values.mean(), rel=1e-14)
    np.testing.assert_array_equal(total_gradient, gradient)
    np.testing.assert_allclose(mean_gradient * 12, gradient, rtol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_empty_selection_is_zero(reduction):
    value, gradient = ab_divergence_and_gradient([[0.0, 1.0]], [[1.0, 0.0]], 1, 0, mask=[False], reduction=reduction)
    assert value == 0 and (gradient == 0).all()
    value, gradient = ab_divergence_and_gradient(np.zeros((0, 3)), np.zeros((0, 3)), 1, 0, reduction=reduction)
    assert value == 0 and gradient.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": math.nan}, "alpha is nan; it must be a finite real number"),
        ({"alpha": "a"}, "alpha is 'a'"),
        ({"beta": INF}, "beta is inf"),
        ({"temperature": 0}, "temperature is 0; it must be a finite number above 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"reduction": "batchmean"}, "reduction is 'batchmean'; it must be one of 'mean', 'sum', 'none'"),
        ({"teacher_logits": [[1.0, 2.0, 3.0]]}, r"teacher_logits has shape \(1, 3\); it must be that of student_"),
        ({"student_logits": 1.0, "teacher_logits": 1.0}, r"student_logits has shape \(\)"),
        ({"student_logits": [["a", "b"]]}, "student_logits has type <U1; it must hold real numbers"),
        ({"mask": [True, False]}, r"mask has shape \(2,\)"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"student_logits": [[0.0, 1.0]], "teacher_logits": [[1.0, 0.0]], "alpha": 1, "beta": 0} | change
    with pytest.raises(ValueError, match=message):
        ab_divergence(**arguments)


@pytest.mark.parametrize("beta", [1e-16, 1.2e-16, 1e-30])
@pytest.mark.parametrize("distance", [1e15, 1e19, 1e35])
def test_a_beta_that_the_sum_of_both_does_not_show_counts_where_classes_are_far_apart(beta, distance):
    """α + β rounds to 1; each side is sure of another class, so that D = (1 − e^(−β distance))/β to all digits."""
    value, gradient = ab_divergence_and_gradient([0, -distance], [-distance, 0], 1.0, beta)
    assert value == pytest.approx(-math.expm1(-beta * distance) / beta, rel=1e-14)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("point", [(1.0, 5e-324), (5e-324, 1.0), (0.5, -5e-324)])
def test_parameters_among_the_subnormal_numbers_are_zero_to_all_digits(point):
    logits = [0.0, -1.0, -2.0], [-1.0, 0.0, -3.0]
    got = ab_divergence_and_gradient(*logits, *point)
    want = ab_divergence_and_gradient(*logits, *(0.0 if abs(x) < 1e-300 else x for x in point))
    assert got[0] == pytest.approx(want[0], rel=1e-15) and got[0] > 0.1
    np.testing.assert_allclose(got[1], want[1], rtol=1e-14)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_classes_masked_by_the_least_number_are_forbidden_ones(name, dtype, temperature):
    """On both sides, where α + β > 0; a mask on one side alone is as far away as it is, and may count 1e38."""
    student, teacher = np.random.default_rng(0).normal(size=(2, 6, 9)) * 3
    results = []
    for mask in (float(np.finfo(dtype).min), -INF):
        student[:, 2:5] = teacher[:, 2:5] = mask
        parameters = DIVERGENCES[name].grid[0].values()
        results.append(DIVERGENCES[name].reference(student, teacher, *parameters, temperature=temperature, reduction="none"))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-16)
