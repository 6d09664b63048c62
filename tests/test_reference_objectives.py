"""The training loss: its terms, its gradient, the rows it leaves out."""

import numpy as np
import pytest
from scipy.special import log_softmax

from reference.divergences import ab_divergence
from reference.objectives import abkd_loss, abkd_loss_and_gradient, cross_entropy, cross_entropy_and_gradient

STUDENT, TEACHER = np.random.RandomState(0).standard_normal((2, 4, 5)) * 3
LABELS = np.array([1, -100, 4, 0])
USED = LABELS != -100


def test_cross_entropy_is_the_mean_over_labelled_rows():
    wanted = -log_softmax(STUDENT, axis=-1)[[0, 2, 3], [1, 4, 0]].mean()
    assert cross_entropy(STUDENT, LABELS) == pytest.approx(wanted, rel=1e-15)


def test_the_loss_is_the_weighted_sum_over_labelled_rows():
    loss = abkd_loss(STUDENT, TEACHER, LABELS, 0.8, 0.2, temperature=2.0, distill_weight=3.0, hard_weight=0.5)
    wanted = 0.5 * cross_entropy(STUDENT, LABELS) + 3.0 * ab_divergence(STUDENT[USED], TEACHER[USED], 0.8, 0.2, temperature=2.0)
    assert loss == pytest.approx(wanted, rel=1e-15)


def test_the_gradient_is_the_derivative():
    def loss(student):
        return abkd_loss(student, TEACHER, LABELS, 0.8, 0.2, temperature=2.0, distill_weight=3.0)

    _, gradient = abkd_loss_and_gradient(STUDENT, TEACHER, LABELS, 0.8, 0.2, temperature=2.0, distill_weight=3.0)
    for place in np.ndindex(STUDENT.shape):
        step = np.zeros_like(STUDENT)
        step[place] = 1e-5
        assert gradient[place] == pytest.approx((loss(STUDENT + step) - loss(STUDENT - step)) / 2e-5, abs=1e-8)
    assert (gradient[1] == 0).all()


def test_a_confident_students_gradient_keeps_its_digits():
    _, gradient = cross_entropy_and_gradient([[50.0, 0.0]], [0])
    assert gradient[0, 0] == -gradient[0, 1] == pytest.approx(-np.exp(-50.0), rel=1e-14)


def test_an_ignored_row_may_hold_anything():
    student = STUDENT.copy()
    student[1] = np.nan
    assert abkd_loss(student, TEACHER, LABELS, 0.8, 0.2) == abkd_loss(STUDENT, TEACHER, LABELS, 0.8, 0.2)


def test_a_term_of_weight_zero_is_left_out():
    student = np.array([[0.0, -np.inf]])  # the label is forbidden: infinite cross-entropy
    teacher = [[0.0, 0.0]]
    assert abkd_loss(student, teacher, [1], 0.0, 1.0, hard_weight=0.0) == ab_divergence(student, teacher, 0, 1)


def test_no_labelled_row_gives_zero():
    loss, gradient = abkd_loss_and_gradient(STUDENT, TEACHER, np.full(4, -1), 0.8, 0.2, ignore_index=-1)
    assert loss == 0 and (gradient == 0).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 5, 0, 0], r"labels holds 5; each label must be 0 to 4, or ignore_index \(-100\)"),
        ([1, 2], r"labels has shape \(2,\)"),
        ([0.0, 1.0, 2.0, 3.0], "labels has type float64; it must hold integers"),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        abkd_loss(STUDENT, TEACHER, labels, 0.8, 0.2)


def test_bad_weights_are_named():
    with pytest.raises(ValueError, match="distill_weight is nan; it must be a finite real number"):
        abkd_loss(STUDENT, TEACHER, LABELS, 0.8, 0.2, distill_weight=float("nan"))
