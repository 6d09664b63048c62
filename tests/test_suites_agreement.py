"""The agreement suite finds errors, and the void check of the loss suite finds them too."""

import fake_harness
import numpy as np
import pytest

from reference.catalogue import DIVERGENCES
from suites.agreement import bounds, comparison, samples
from suites.loss import check
from suites.loss.implementations import IMPLEMENTATIONS
from suites.loss.problems import Problem

AB = DIVERGENCES["ab_divergence"]


def evaluate(student, teacher, parameters, temperature):
    return fake_harness.value_and_gradient("ab_divergence", student, teacher, parameters, temperature=temperature)


def random_rows(dtype="float32", rows=500):
    return samples.random_samples(AB, dtype, rows)


def test_the_reference_agrees_with_itself():
    found = comparison.compare(evaluate, "float64", random_rows("float64"))
    assert found.violations() == []
    assert found.metrics()["agreement/value_error_random"] == 0.0
    assert sum(cell["rows"] for cell in found.cells) == 500


@pytest.mark.parametrize("quantity", ["value", "gradient"])
def test_an_error_over_its_bound_is_found_with_its_worst_rows(quantity):
    def wrong(student, teacher, parameters, temperature):
        value, gradient = evaluate(student, teacher, parameters, temperature)
        scale = np.where(np.arange(len(value)) == 3, 1.01, 1.0)
        return (value * scale, gradient) if quantity == "value" else (value, gradient * scale[:, np.newaxis])

    found = comparison.compare(wrong, "float32", random_rows())
    violations = found.violations()
    assert len(violations) == 1 and quantity in violations[0] and "2 of 500 rows" in violations[0]
    worst = found.worst_rows()[0]
    assert worst["row"] == 3 and worst["quantity"] == quantity
    assert worst["relative_difference"] == pytest.approx(0.01, rel=1e-3)
    assert worst["got"] == pytest.approx(1.01 * worst["want"])


def test_a_few_rows_may_exceed_the_usual_bound_but_not_many():
    def rounded(share):
        def evaluate_rounded(student, teacher, parameters, temperature):
            value, gradient = evaluate(student, teacher, parameters, temperature)
            some = np.arange(len(value)) < share * len(value)
            return value * np.where(some, 1 + 5e-5, 1.0), gradient

        return evaluate_rounded

    assert comparison.compare(rounded(0.0), "float32", random_rows()).violations() == []
    assert len(comparison.compare(rounded(0.01), "float32", random_rows()).violations()) == 1


def test_a_gradient_that_is_not_a_number_is_found_wherever_it_is():
    def broken(student, teacher, parameters, temperature):
        value, gradient = evaluate(student, teacher, parameters, temperature)
        gradient[0, 1] = np.nan
        return value, gradient

    found = comparison.compare(broken, "float32", random_rows(rows=250))
    assert len(found.violations()) == 2
    assert np.isnan(found.metrics()["agreement/gradient_error_random"])


def test_regions_follow_parameters_and_spread():
    assert bounds.regions({"alpha": 1.0, "beta": 0.0}, "10") == ("positive", "moderate")
    assert bounds.regions({"alpha": 1.0, "beta": 0.0}, "100") == ("positive",)
    assert bounds.regions({"alpha": 2.0, "beta": -1.0}, "near") == ("moderate",)
    assert bounds.regions({"alpha": 2.0, "beta": -1.0}, "100") == ()
    assert bounds.regions({"alpha": 1.0, "beta": 1.0}, "1000") == ()


def test_overflow_and_rounding_of_storage_are_no_errors():
    big = np.array([1e39, 2.0, 1e-20])
    assert bounds.value_errors(np.array([np.inf, 2.0, 0.0]), big, "float32").max() < 1e-7
    assert np.isinf(bounds.value_errors(np.array([np.inf]), np.array([2.0]), "float32")[0])
    tiny = np.array([[3e-8]])
    assert bounds.gradient_errors(np.array([[0.0]]), tiny, np.array([3e-8]), "float16")[0] < 1e-3 + 0.01
    assert bounds.gradient_errors(np.array([[0.0]]), tiny, np.array([3e-8]), "float32")[0] == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [4, 40])
def test_a_timing_whose_tensors_are_wrong_is_void(rows):
    problem = Problem("torch", rows, 12, "float32", 0.8, 0.2, 1.0, "cpu", 1)
    student, teacher, ours = *problem.logits(), IMPLEMENTATIONS["ab_divergence"]
    value, gradient = AB.reference(student, teacher, 0.8, 0.2, reduction="mean")
    assert check.compare(problem, ours, float(value), gradient)["passed"]
    assert not check.compare(problem, ours, 1.001 * float(value), gradient)["passed"]
    wrong = gradient.copy()
    wrong[-1, 0] += 1e-3 * np.abs(gradient).max()
    assert not check.compare(problem, ours, float(value), wrong)["passed"]
    assert not check.compare(problem, ours, float("nan"), gradient)["passed"]
    kl, slope = AB.reference(student, teacher, 1.0, 0.0, reduction="mean")
    assert check.compare(problem, IMPLEMENTATIONS["framework_kl"], float(kl), slope)["passed"]
