"""What the suites ask of a harness beside values and gradients."""

import time

import numpy as np
import pytest


def test_copy_runs_and_returns_nothing(backend):
    assert backend.prepare_copy(1000)() is None
    copy = backend.prepare_copy(25_000_000)
    copy()
    started = time.perf_counter()
    copy()
    # 200 MB read or written: a terabyte a second would be no copy at all
    assert time.perf_counter() - started > 2 * 4 * 25e6 / 1e12


@pytest.mark.parametrize("divergence", ["framework_kl", "ab_divergence"])
def test_call_can_be_repeated_and_gives_the_same(backend, divergence):
    student, teacher = np.random.RandomState(0).standard_normal((2, 4, 10))
    parameters = {} if divergence == "framework_kl" else {"alpha": 1.0, "beta": 0.0}
    call = backend.prepare_call(divergence, student, teacher, parameters, dtype="float64")
    call.forward()
    call.forward_backward()
    value, gradient = call.result()
    call.forward_backward()
    again, gradient_again = call.result()
    assert isinstance(value, float) and value == again
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(gradient, gradient_again)
    call.synchronize()


def test_description_names_version_device_and_threads(backend):
    description = backend.describe()
    assert {"framework", "version", "device", "threads"} <= description.keys()
    assert all(isinstance(value, str) for value in description.values())


def test_unknown_device_is_refused(backend):
    with pytest.raises(ValueError, match="'gpu9'"):
        backend.set_up(device="gpu9")
