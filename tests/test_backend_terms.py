"""Terms that a plug-in adds: of heads and of models, with a part beside."""

from importlib import import_module

import numpy as np
import pytest
from conftest import CHOSEN

from backends.common import methods, networks

SPEC = networks.get("convnet-3", input_shape=(4, 4, 1), classes=3)
ROWS = 5


def model(backend, seed):
    return backend.build_model(SPEC, networks.initial_weights(SPEC, seed), "float64")


def batch(seed):
    random = np.random.RandomState(seed)
    return random.standard_normal((ROWS, *SPEC.input_shape)), random.randint(0, SPEC.classes, ROWS)


@pytest.fixture
def toy_method(monkeypatch):
    """(student − teacher)² · scale of the models themselves, and plain cross-entropy of the part beside."""
    terms = import_module(f"backends.{CHOSEN}.losses.training_loss").TERMS
    monkeypatch.setitem(terms, "toy", lambda student, teacher, inputs, scale: scale * (student(inputs) - teacher(inputs)) ** 2)
    summed = terms["toy"]
    total = import_module("tensorflow").reduce_sum if CHOSEN == "tensorflow" else lambda array: array.sum()
    monkeypatch.setitem(terms, "toy", lambda *models, inputs, scale: total(summed(*models, inputs=inputs, scale=scale)))
    row = methods.Method("toy", "Toy", "a test", "toy", {"scale": 1.0}, takes="models", beside="sft")
    monkeypatch.setitem(methods.METHODS, "toy", row)


def loss(backend, data, **arguments):
    result = backend.train(
        model(backend, 2), model(backend, 1), [data], dtype="float64", learning_rate=0.1, progress=False, **arguments
    )
    return result.step_losses[0]


def test_a_term_of_models_with_a_part_beside(backend, toy_method):
    data = (*batch(0), batch(1))
    hard = loss(backend, batch(1), method="sft")
    zero = {"hard_weight": 0.0, "method": "toy"}
    alone = loss(backend, data, beside_weight=0.0, **zero)
    assert alone > 0
    assert loss(backend, data, scale=3.0, beside_weight=0.0, **zero) == pytest.approx(3 * alone, rel=1e-12)
    assert loss(backend, data, beside_weight=0.5, **zero) == pytest.approx(alone + 0.5 * hard, rel=1e-12)


def test_parts_that_do_not_fit_the_method_are_refused(backend, toy_method):
    with pytest.raises(ValueError, match="2 parts.*'toy' needs a part beside.*'sft'"):
        loss(backend, batch(0), method="toy")
    with pytest.raises(ValueError, match="3 parts.*'sft' has no use"):
        loss(backend, (*batch(0), batch(1)), method="sft")
