"""One gradient step's redistribution of probability: the identity, the bound, the weights, bad input."""

import numpy as np
import pytest

from reference.concentration import (
    concentration,
    concentration_map,
    confidence_weights,
    gradient_step,
    hardness_weights,
    log_distribution,
)
from reference.grid import AB_GRID, draw_logits

STUDENT, TEACHER = draw_logits(10, "1", "float64", 5, 3)


@pytest.mark.parametrize(("alpha", "beta"), AB_GRID)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_parts_of_a_step_add_up_and_keep_the_bound(alpha, beta, temperature):
    step = gradient_step(STUDENT, TEACHER, alpha, beta, learning_rate=0.5, temperature=temperature)
    np.testing.assert_allclose(step.own - step.shared + step.normaliser[..., None], step.log_change, atol=1e-10)
    assert (np.abs(step.log_change) <= step.bound * (1 + 1e-9) + 1e-12).all()
    np.testing.assert_allclose(step.moved.sum(axis=-1), 0, atol=1e-14)


def test_a_small_step_of_forward_kl_moves_mass_towards_the_teacher():
    step = gradient_step(STUDENT, TEACHER, 1.0, 0.0, learning_rate=1e-6)
    p, q = (np.exp(log_distribution(logits)) for logits in (TEACHER, STUDENT))
    np.testing.assert_allclose(step.own, 1e-6 * (p - q), rtol=1e-9, atol=1e-20)
    assert ((p - q) * step.moved).sum() > 0


def test_the_weights_are_powers_and_their_limit():
    log_p, log_q = log_distribution(TEACHER), log_distribution(STUDENT)
    p, q = np.exp(log_p), np.exp(log_q)
    for alpha in (-0.5, 0.3, 1.0):
        np.testing.assert_allclose(hardness_weights(log_p, log_q, alpha), np.abs(p**alpha - q**alpha) / abs(alpha), 1e-12)
    np.testing.assert_allclose(hardness_weights(log_p, log_q, 0.0), np.abs(log_p - log_q))
    np.testing.assert_allclose(confidence_weights(log_q, 0.7), q**0.7)


def test_confidence_rises_with_beta_and_stays_finite_for_confident_students():
    found = concentration_map(STUDENT, TEACHER, [0.0, 0.5, 1.0], [-1.0, 0.0, 1.0, 2.0])
    assert found["confidence"].shape == (4, 3) and (np.diff(found["confidence"], axis=0) > 0).all()
    student, teacher = draw_logits(10, "1000", "float64", 3, 3)
    for alpha, beta in AB_GRID:
        here = concentration(student, teacher, alpha, beta)
        assert np.isfinite([here.hardness, here.confidence, here.classes]).all()
        assert ((here.classes >= 1 - 1e-12) & (here.classes <= 10 + 1e-12)).all()


def test_equal_distributions_have_no_weights():
    here = concentration(STUDENT, STUDENT, 0.5, 0.5)
    assert np.isnan(here.hardness).all() and np.isnan(here.classes).all()
    step = gradient_step(STUDENT, STUDENT, 0.5, 0.5)
    assert (step.log_change == 0).all() and (step.own == 0).all()
    mixed = concentration_map(np.stack([STUDENT[0], STUDENT[1]]), np.stack([STUDENT[0], TEACHER[1]]), [0.5], [0.5])
    assert np.isfinite(mixed["hardness"]).all()


def test_a_logit_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="student_logits holds -inf; the analysis takes finite logits"):
        gradient_step([0.0, -np.inf], [0.0, 1.0], 0.5, 0.5)
