"""CONTRIBUTING.md's example of a new divergence: the backend's function passes the agreement check as it stands."""

import contributing_example as example
import pytest

from reference.golden import compute
from reference.grid import SPREADS
from suites.agreement import comparison, samples


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_example_agrees_with_its_reference(backend, monkeypatch, dtype):
    row = example.add_to_reference(monkeypatch)
    example.add_to_backend(backend.NAME)
    cases = [case for spread in SPREADS for case in compute.compute(compute.Unit(row.name, 10, spread, dtype, 1.0))]
    monkeypatch.setattr(compute, "load", lambda name, dtype: cases)
    monkeypatch.setattr(samples, "RANDOM_CLASSES", (10,))

    def evaluate(student, teacher, parameters, temperature):
        return backend.value_and_gradient(row.name, student, teacher, parameters, temperature=temperature, dtype=dtype)

    every = [*samples.golden_samples(row, dtype), *samples.random_samples(row, dtype, rows=500)]
    found = comparison.compare(evaluate, dtype, every)
    assert found.violations() == []
    assert sum(cell["rows"] for cell in found.cells) == 20 + 500
