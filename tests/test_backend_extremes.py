"""−inf, NaN, overflow and masks: what each backend promises, entry by entry."""

import numpy as np
import pytest

from reference.divergences import ab_divergence_and_gradient

INF = np.inf
PAIRS = [
    (1.0, 0.0),
    (0.0, 1.0),
    (0.5, 0.5),
    (0.2, 0.7),
    (1.0, 1.0),
    (0.5, -0.5),
    (0.0, 0.0),
    (-0.5, 1.5),
    (2.0, -1.0),
    (-0.5, 0.5),
    (-1.0, -0.5),
    (1.0, -2.0),
]


def evaluate(backend, student, teacher, alpha, beta, dtype="float64", **arguments):
    return backend.value_and_gradient(
        "ab_divergence", np.asarray(student), np.asarray(teacher), {"alpha": alpha, "beta": beta}, dtype=dtype, **arguments
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("alpha", "beta"), PAIRS)
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ([1.0, 0.5, -INF, 2.0], [0.3, 1.5, -INF, 0.1]),  # both forbid a class
        ([1.0, 0.5, -1.0, 2.0], [0.3, 1.5, -INF, 0.1]),  # the teacher alone
        ([1.0, 0.5, -INF, 2.0], [0.3, 1.5, -1.0, 0.1]),  # the student alone
        ([1.0, 0.5, -1.0, 2.0], [0.3, 1.5, -1.0, -INF]),  # the teacher forbids the student's top class
        ([1.0, -INF, -INF, 2.0], [0.3, 1.5, -INF, -INF]),  # all of it at once
        ([-INF, 0.0, -INF, -INF], [0.0, -INF, -INF, -INF]),  # no class in common
    ],
)
def test_forbidden_classes(backend, student, teacher, alpha, beta, dtype):
    value, gradient = evaluate(backend, [student], [teacher], alpha, beta, dtype)
    want_value, want_gradient = ab_divergence_and_gradient(
        np.asarray([student]), np.asarray([teacher]), alpha, beta, reduction="none"
    )
    tolerance = 1e-12 if dtype == "float64" else 5e-6
    np.testing.assert_allclose(value, want_value, rtol=tolerance)
    np.testing.assert_allclose(gradient, want_gradient, atol=tolerance * max(np.abs(want_gradient).max(), 1e-300))
    assert not gradient[np.asarray([student]) == -INF].any()


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (2.0, -0.5), (0.25, 0.5)])
def test_class_without_teacher_adds_its_limit(backend, alpha, beta):
    gamma = alpha + beta
    q = np.asarray([0.6, 0.4])
    value, _ = evaluate(backend, [np.log(q)], [[0.0, -INF]], alpha, beta)
    both = -(q[0] ** beta - alpha / gamma - beta / gamma * q[0] ** gamma) / (alpha * beta)
    assert value[0] == pytest.approx(both + q[1] ** gamma / (alpha * gamma), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bad", [[np.nan, 0.0, 1.0], [INF, 0.0, 1.0], [-INF, -INF, -INF]])
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_bad_rows_are_nan_and_leave_others_alone(backend, bad, side, dtype):
    good = np.asarray([[0.5, 1.0, -1.0], [0.1, 0.2, 0.3]])
    student, teacher = good.copy(), good[::-1].copy()
    (student if side == "student" else teacher)[0] = bad
    value, gradient = evaluate(backend, student, teacher, 0.7, 0.2, dtype)
    assert np.isnan(value[0]) and np.isnan(gradient[0]).all()
    assert np.isfinite(value[1]) and np.isfinite(gradient[1]).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_masked_rows_never_arrive_whatever_they_hold(backend, reduction):
    student = np.asarray([[0.5, 1.0, -1.0], [np.nan, INF, 0.0], [0.1, 0.4, 0.3], [-INF, -INF, -INF]])
    teacher = np.asarray([[0.1, 0.7, -2.0], [0.0, np.nan, 0.0], [0.9, 0.2, 0.3], [INF, 0.0, 0.0]])
    mask = np.asarray([True, False, True, False])
    value, gradient = evaluate(backend, student, teacher, 0.7, 0.2, mask=mask, reduction=reduction)
    want_value, want_gradient = evaluate(backend, student[mask], teacher[mask], 0.7, 0.2, reduction=reduction)
    np.testing.assert_allclose(value[mask] if reduction == "none" else value, want_value, rtol=1e-14)
    np.testing.assert_allclose(gradient[mask], want_gradient, rtol=1e-13)
    assert not gradient[~mask].any()
    if reduction == "none":
        assert not value[~mask].any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_empty_selection_is_zero(backend, reduction):
    value, gradient = evaluate(
        backend, np.full((2, 3), np.nan), np.zeros((2, 3)), 1.0, 0.0, mask=np.zeros(2, bool), reduction=reduction
    )
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("alpha", "beta"), PAIRS)
def test_gradient_is_never_nan_for_far_apart_distributions(backend, alpha, beta, dtype):
    random = np.random.RandomState(1)
    student, teacher = random.standard_normal((2, 20, 50)) * np.asarray([1, 100, 1000, 10_000])[:, None].repeat(5, 0)
    value, gradient = evaluate(backend, student, teacher, alpha, beta, dtype)
    assert not np.isnan(value).any()
    assert not np.isnan(gradient).any()
    assert (value >= 0).all()


def test_overflowing_value_is_infinite(backend):
    value, gradient = evaluate(backend, [[0.0, -400.0]], [[-400.0, 0.0]], 2.0, -1.0, "float32")
    assert value[0] == INF
    assert not np.isnan(gradient).any()


def test_equal_distributions_give_zero(backend):
    logits = np.round(np.random.RandomState(2).standard_normal((5, 30)) * 5 * 1024) / 1024  # adding 3 is exact
    for alpha, beta in PAIRS:
        value, gradient = evaluate(backend, logits + 3.0, logits, alpha, beta)
        assert not value.any()
        assert not gradient.any()


def test_single_class_is_zero(backend):
    value, gradient = evaluate(backend, [[3.0]], [[-5.0]], 0.5, 0.5)
    assert value[0] == 0
    assert gradient[0, 0] == 0


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.9), (0.5, 0.501), (0.2, 0.7), (0.9, 0.2), (0.0, 0.8)])
def test_a_tie_at_the_top_that_the_teacher_rules_out(backend, alpha, beta):
    """All that is left of the gradient is a small difference between the two classes that tie."""
    student, teacher = [[-50.5, 106.5, 106.5, -13.5], [2.0, 30.0, 29.75, 1.0]], [[37.25, -49.5, 65.0, 126.0]] * 2
    for dtype, bound in (("float64", 1e-13), ("float32", 5e-6)):
        _, gradient = evaluate(backend, student, teacher, alpha, beta, dtype=dtype, temperature=4.0)
        _, want = ab_divergence_and_gradient(student, teacher, alpha, beta, temperature=4.0, reduction="none")
        assert (np.abs(gradient - want).max(-1) <= bound * np.abs(want).max(-1)).all()
