"""CONTRIBUTING.md's example of a new divergence: the definition and the row of the table."""

import contributing_example as example
import mpmath
import numpy as np
import pytest
from mpmath import mpf

from reference.golden import compute
from reference.grid import draw_logits


def test_every_part_of_the_example_is_there():
    assert list(example.blocks()) == ["definition", "row", "torch", "jax", "tensorflow"]


def test_the_definition_and_its_derivative_agree(monkeypatch):
    row = example.add_to_reference(monkeypatch)
    student, teacher, step = [mpf("0.5"), mpf(-2), mpf("1.25")], [0, 1, "0.25"], mpf("1e-12")
    value, gradient = row.exact(student, teacher, 1.5).value_and_gradient(digits=40)
    assert value > 0
    for place in range(3):
        with mpmath.workdps(60):
            moved = [[z + by * (k == place) for k, z in enumerate(student)] for by in (step, -step)]
        above, below = (row.exact(z, teacher, 1.5).value_and_gradient(digits=40)[0] for z in moved)
        with mpmath.workdps(60):
            assert abs(mpmath.mp.make_mpf(gradient[place]) - (above - below) / (2 * step)) < mpf("1e-20")


def test_the_float64_reference_comes_with_the_definition(monkeypatch):
    row = example.add_to_reference(monkeypatch)
    student, teacher = draw_logits(10, "10", "float64", 6, 1)
    p, q = (np.exp(z / 2) / np.exp(z / 2).sum(-1, keepdims=True) for z in (teacher, student))
    value, gradient = row.reference(student, teacher, temperature=2.0, reduction="mean")
    assert value == pytest.approx(((p - q) ** 2 / (p + q)).sum(-1).mean(), rel=1e-12)
    assert gradient.shape == student.shape
    assert np.abs(gradient.sum(-1)).max() < 1e-15
    student = np.round(student * 64) / 64  # so that a constant is added exactly
    value, gradient = row.reference(student, student + 1.0, reduction="sum")
    assert value == 0 and not gradient.any()


def test_its_golden_cases_are_computed(monkeypatch):
    row = example.add_to_reference(monkeypatch)
    (case,) = compute.compute(compute.Unit(row.name, 10, "near", "float32", 1.0))
    value, _ = row.reference(*case.inputs(), reduction="none")
    np.testing.assert_allclose(value, case.value, rtol=1e-15)
