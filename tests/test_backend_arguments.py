"""Bad input to the loss: every error names the argument, its value and what is allowed."""

import numpy as np
import pytest

import backends
from backends.common import methods

LOGITS = np.zeros((2, 3))


def call(backend, student=LOGITS, teacher=LOGITS, alpha=0.5, beta=0.5, **arguments):
    return backend.value_and_gradient("ab_divergence", student, teacher, {"alpha": alpha, "beta": beta}, **arguments)


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_must_be_finite(backend, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}.*finite"):
        call(backend, **{name: value})


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_temperature_must_be_positive(backend, temperature):
    with pytest.raises(ValueError, match="temperature"):
        call(backend, temperature=temperature)


def test_shapes_must_match(backend):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        call(backend, teacher=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"mask.*\(3,\)"):
        call(backend, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="at least one class"):
        call(backend, student=np.zeros((2, 0)), teacher=np.zeros((2, 0)))


def test_unknown_reduction_lists_the_known_ones(backend):
    with pytest.raises(ValueError, match=r"'average'.*mean, sum, none"):
        call(backend, reduction="average")


def test_objective_checks_labels_and_parameters(backend):
    with pytest.raises(ValueError, match="labels"):
        backend.objective_and_gradient(LOGITS, LOGITS, np.zeros(3, int), alpha=1.0, beta=0.0)
    with pytest.raises(ValueError, match="temperature=0"):
        backend.objective_and_gradient(LOGITS, LOGITS, np.zeros(2, int), alpha=1.0, beta=0.0, temperature=0)


def test_unknown_backend_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'pytorch'.*torch, jax, tensorflow"):
        backends.load("pytorch")


def test_methods_refuse_what_they_do_not_have():
    with pytest.raises(ValueError, match=r"'abdk'.*sft, kd, rkld, abkd"):
        methods.resolve("abdk")
    with pytest.raises(ValueError, match="alpha=0.5.*'kd'"):
        methods.resolve("kd", alpha=0.5)
    with pytest.raises(ValueError, match="needs alpha and beta"):
        methods.resolve("abkd")
    with pytest.raises(ValueError, match="temperature=0"):
        methods.resolve("kd", temperature=0)
