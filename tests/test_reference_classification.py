"""Objectives for classification and sequences: gradients against central differences, and known relations."""

import inspect

import numpy as np
import pytest

from reference import objectives
from reference.grid import draw_logits

NAMES = ["kd", "dkd", "abdkd", "lsd", "ablsd", "ttm", "abttm", "wttm", "dist", "sequence"]


def evaluate(name, student, teacher, labels, **parameters):
    function = getattr(objectives, f"{name}_loss_and_gradient")
    labelled = (labels,) if "labels" in inspect.signature(function).parameters else ()
    return function(student, teacher, *labelled, **parameters)


def problem(spread="1"):
    student, teacher = draw_logits(7, spread, "float64", 6, 3)
    return student.reshape(2, 3, 7), teacher.reshape(2, 3, 7), np.array([[0, 1, 2], [6, -100, 3]])


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_derivative_of_the_value(name):
    student, teacher, labels = problem()
    _, gradient = evaluate(name, student, teacher, labels)
    wanted = np.empty_like(gradient)
    for place in np.ndindex(student.shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = student.copy()
            moved[place] += step
            values.append(evaluate(name, moved, teacher, labels)[0])
        wanted[place] = (values[0] - values[1]) / 2e-5
    assert np.abs(gradient - wanted).max() <= 1e-8 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_equal_logits_have_no_loss(name):
    _, teacher, labels = problem()
    parameters = {"gamma": 1.0} if "ttm" in name else {}
    value, gradient = evaluate(name, teacher, teacher, labels, **parameters)
    assert abs(value) < (1e-4 if name == "dist" else 1e-15)  # DIST's 1e-8 in the denominator remains
    assert np.abs(gradient).max() < (1e-5 if name == "dist" else 1e-15)


def test_dkd_with_the_teachers_rest_as_weight_is_kd():
    """KL = KL of (target, rest) + (1 − p_target) KL within the rest."""
    student, teacher = draw_logits(7, "1", "float64", 1, 3)
    rest = 1 - np.exp(teacher[0, 2] / 4) / np.exp(teacher[0] / 4).sum()
    decoupled = evaluate("dkd", student, teacher, np.array([2]), non_target_weight=rest)
    whole = evaluate("kd", student, teacher, None)
    assert decoupled[0] == pytest.approx(whole[0], rel=1e-13)
    np.testing.assert_allclose(decoupled[1], whole[1], rtol=1e-11)


def test_the_rectified_losses_at_1_0_are_the_plain_ones():
    student, teacher, labels = problem()
    for plain in ("dkd", "lsd", "ttm"):
        want = evaluate(plain, student, teacher, labels)
        got = evaluate(f"ab{plain}", student, teacher, labels, alpha=1.0, beta=0.0)
        assert got[0] == want[0] and (got[1] == want[1]).all()


def test_warm_up_grows_to_one():
    assert [objectives.warm_up(epoch) for epoch in (1, 10, 20, 30)] == [0.05, 0.5, 1.0, 1.0]
    assert objectives.warm_up(1, epochs=0) == 1.0


def test_sequence_means():
    student, teacher, labels = problem()
    rows, _ = objectives.kd_loss_and_gradient(student[0, 0], teacher[0, 0], temperature=1.0)
    tokens = np.array(
        [
            [objectives.kd_loss_and_gradient(student[i, k], teacher[i, k], temperature=1.0)[0] for k in range(3)]
            for i in range(2)
        ]
    )
    assert tokens[0, 0] == rows
    valid = labels != -100
    assert evaluate("sequence", student, teacher, labels)[0] == pytest.approx(tokens[valid].mean(), rel=1e-14)
    by_sequence = (tokens[0].mean() + tokens[1, [0, 2]].mean()) / 2
    got = evaluate("sequence", student, teacher, labels, reduction="sequence_mean")
    assert got[0] == pytest.approx(by_sequence, rel=1e-14)
    assert not got[1][1, 1].any()


def test_a_batch_without_valid_tokens_is_zero():
    bad = np.full((2, 3, 4), np.nan)
    for reduction in objectives.SEQUENCE_REDUCTIONS:
        value, gradient = evaluate("sequence", bad, bad, np.full((2, 3), -100), reduction=reduction)
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("ttm", {"gamma": 0}, "gamma is 0; it must be a finite number above 0"),
        ("kd", {"temperature": -1}, "temperature is -1"),
        ("sequence", {"reduction": "mean"}, "reduction is 'mean'; it must be one of token_mean, sequence_mean"),
        ("sequence", {"divergence": "kl"}, "divergence is 'kl'; it must be one of"),
    ],
)
def test_bad_input_is_named(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        evaluate(name, *problem(), **parameters)


@pytest.mark.parametrize("name", ["dkd", "abdkd"])
def test_a_row_whose_label_has_everything_counts_no_rest(name):
    """Of the teacher or of the student, by −inf at the other classes or because there are none."""
    inf = np.inf
    sure, unsure = np.array([[0.0, -inf, -inf]]), np.array([[1.0, 0.5, -1.0]])
    label = np.array([0])
    value, gradient = evaluate(name, unsure, sure, label, temperature=2.0)
    pair = evaluate(name, unsure, sure, label, temperature=2.0, non_target_weight=0.0)
    assert value == pair[0] == pytest.approx(-4 * np.log(np.exp(0.5) / np.exp(unsure / 2).sum()), rel=1e-14)
    np.testing.assert_array_equal(gradient, pair[1])
    assert evaluate(name, sure, unsure, label)[0] == inf and not np.isnan(evaluate(name, sure, unsure, label)[1]).any()
    assert evaluate(name, sure, unsure, label, target_weight=0.0)[0] == 0
    for whole in (sure, np.zeros((1, 1))):
        value, gradient = evaluate(name, whole, whole, label)
        assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_give_zero(name):
    value, gradient = evaluate(name, np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), np.zeros((0, 2), int))
    assert value == 0 and gradient.shape == (0, 2, 3)
