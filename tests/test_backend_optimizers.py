"""Optimisers as data: SGD and AdamW against NumPy in float64, exclusions by name, and frozen parameters."""

from dataclasses import replace

import numpy as np
import pytest

from backends.common import networks
from backends.common.training.optimizers import SGD, AdamW

SHAPE, CLASSES, STEPS = (4, 4, 1), 3, 20
SPEC = networks.get("convnet-3", input_shape=SHAPE, classes=CLASSES)
ADAMW = AdamW(betas=(0.8, 0.95), epsilon=1e-6, weight_decay=0.1, exclude=("*.bias", "stages.*.bn.*"))
RATES = [0.05 / (1 + step) for step in range(STEPS)]


def batches():
    random = np.random.RandomState(0)
    return [(random.standard_normal((6, *SHAPE)), random.randint(0, CLASSES, 6)) for _ in range(STEPS)]


def trained(backend, optimizer, data, weights, rates, spec=SPEC):
    model = backend.build_model(spec, weights, "float64")
    rate = lambda step: rates[step]  # noqa: E731
    backend.train(None, model, data, method="sft", optimizer=optimizer, learning_rate=rate, progress=False)
    return backend.export_weights(model)


def gradient(backend, batch, weights):
    """By a plain step of rate 1."""
    after = trained(backend, SGD(momentum=0.0), [batch], weights, [1.0])
    return {name: weights[name] - after[name] for name in weights}, after


def expected(backend, optimizer):
    """Every step by NumPy, from gradients of the backend at each point; running statistics are the backend's."""
    weights = networks.initial_weights(SPEC, 1)
    rows = networks.parameters(SPEC)
    first, second = ({name: 0.0 for name in weights} for _ in range(2))
    for step, (batch, rate) in enumerate(zip(batches(), RATES, strict=True), 1):
        slopes, after = gradient(backend, batch, weights)
        for name in weights:
            if not rows[name].trained:
                weights[name] = after[name]
            elif isinstance(optimizer, SGD):
                slope = slopes[name] + optimizer.weight_decay * weights[name]
                first[name] = optimizer.momentum * first[name] + slope
                step_of = slope + optimizer.momentum * first[name] if optimizer.nesterov else first[name]
                weights[name] = weights[name] - rate * step_of
            else:
                decay = 0.0 if name.endswith(".bias") or ".bn." in name else optimizer.weight_decay
                b1, b2 = optimizer.betas
                first[name] = b1 * first[name] + (1 - b1) * slopes[name]
                second[name] = b2 * second[name] + (1 - b2) * slopes[name] ** 2
                decayed = weights[name] * (1 - rate * decay)
                deviation = np.sqrt(second[name] / (1 - b2**step)) + optimizer.epsilon
                weights[name] = decayed - rate * first[name] / (1 - b1**step) / deviation
    return weights


@pytest.mark.parametrize("optimizer", [SGD(0.9, 0.01, nesterov=True), ADAMW], ids=["nesterov", "adamw"])
def test_twenty_steps_are_numpys(backend, optimizer):
    got = trained(backend, optimizer, batches(), networks.initial_weights(SPEC, 1), RATES)
    for name, want in expected(backend, optimizer).items():
        np.testing.assert_allclose(got[name], want, rtol=1e-12, atol=1e-12, err_msg=name)


def test_frozen_parameters_stay_bit_for_bit(backend):
    """Those of a normalisation too, its running statistics among them; the others are trained."""
    spec = replace(SPEC, frozen=("stages.0.*",))
    weights = networks.initial_weights(spec, 1)
    random = np.random.RandomState(3)
    weights = {name: array + random.uniform(0.1, 0.2, array.shape) for name, array in weights.items()}
    for optimizer in (SGD(0.9, 0.01), ADAMW):
        after = trained(backend, optimizer, batches(), weights, RATES, spec)
        assert after.keys() == weights.keys()
        for name, array in weights.items():
            assert np.array_equal(after[name], array) == name.startswith("stages.0."), name


def test_frozen_patterns_without_a_parameter_are_refused(backend):
    spec = replace(SPEC, frozen=("stages.9.*",))
    with pytest.raises(ValueError, match="frozen='stages.9.*'.*convnet-3"):
        backend.build_model(spec, networks.initial_weights(SPEC, 1), "float32")


def test_a_family_without_a_builder_here_is_refused(backend):
    networks.FAMILIES["toy"] = networks.FAMILIES["convnet"]
    try:
        spec = replace(SPEC, family="toy")
        with pytest.raises(ValueError, match=f"family='toy'.*'{backend.NAME}'.*convnet, resnet"):
            backend.build_model(spec, networks.initial_weights(spec, 1), "float32")
    finally:
        del networks.FAMILIES["toy"]


def test_an_optimizer_as_data_needs_the_learning_rate(backend):
    model = backend.build_model(SPEC, networks.initial_weights(SPEC, 1), "float32")
    with pytest.raises(ValueError, match="AdamW.*learning_rate"):
        backend.train(None, model, batches(), method="sft", optimizer=AdamW())


def test_another_type_than_the_students_is_refused(backend):
    model = backend.build_model(SPEC, networks.initial_weights(SPEC, 1), "float32")
    with pytest.raises(ValueError, match="dtype='float64'.*float32"):
        backend.train(None, model, batches(), dtype="float64", method="sft", learning_rate=0.1)
