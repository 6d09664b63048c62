"""The CIFAR networks of each backend against NumPy: parameters, logits, one training step."""

import numpy as np
import pytest
from numpy_networks import Network

from backends.common import networks

SHAPE, CLASSES = (32, 32, 3), 100
# one of each family
KINDS = ("resnet8x4", "wrn-16-2", "vgg8")
# of the largest logit, against float64: half of 1e-5, so that two backends are within 1e-5 of each other. On white noise
# and at its initial weights resnet110 in training amplifies the rounding of its convolutions beyond that, in each
# framework about as much (up to 1.0e-5; on photographs 5e-6). In PyTorch the error falls to a third with convolutions in
# float64, and stays as it is with batch statistics in float64.
BOUND, DEEPEST_BOUND = 5e-6, 1.2e-5


def spec_of(name):
    return networks.get(name, input_shape=SHAPE, classes=CLASSES)


def images(count, seed):
    return np.random.RandomState(seed).standard_normal((count, *SHAPE)).astype("float32").astype("float64")


def float32_weights(spec, seed):
    """Weights that float32 holds exactly, so that both sides start from the same numbers."""
    arrays = networks.initial_weights(spec, seed)
    return {name: array.astype("float32").astype("float64") for name, array in arrays.items()}


@pytest.mark.parametrize("name", networks.CIFAR_NETWORKS)
def test_logits_in_training_and_inference(backend, name):
    """The same weights and images give the same logits and running statistics, two batches long and afterwards."""
    spec = spec_of(name)
    weights = float32_weights(spec, 1)
    model, peer = backend.build_model(spec, weights, "float32"), Network(spec, weights)
    bound = DEEPEST_BOUND if name == "resnet110" else BOUND
    for seed in range(2):
        batch = images(4, seed)
        want = peer(batch).array
        got = backend.training_logits(model, batch)
        assert np.abs(got - want).max() <= bound * np.abs(want).max()
    peer.training = False
    batch = images(4, 2)
    want = peer(batch).array
    assert np.abs(backend.predict(model, batch) - want).max() <= BOUND * np.abs(want).max()
    exported = backend.export_weights(model)
    assert exported.keys() == peer.arrays().keys()
    assert sum(exported[n].size for n, p in networks.parameters(spec).items() if p.trained) == (networks.parameter_count(spec))
    for part, array in peer.arrays().items():
        assert np.abs(exported[part] - array).max() <= 1e-5 * np.abs(array).max(), part


@pytest.mark.parametrize("name", KINDS)
def test_training_steps_in_float64(backend, name):
    """Two steps of SGD with momentum and weight decay on cross entropy, from the same weights."""
    spec = spec_of(name)
    weights = networks.initial_weights(spec, 3)
    model, peer = backend.build_model(spec, weights, "float64"), Network(spec, weights)
    labels = np.random.RandomState(4).randint(0, CLASSES, 4)
    data = [(images(4, seed), labels) for seed in (5, 6)]
    result = backend.train(
        None, model, data, dtype="float64", method="sft", learning_rate=0.05, momentum=0.9, weight_decay=5e-4, progress=False
    )
    losses, velocities = [], None
    for batch, _ in data:
        loss, velocities = peer.step(batch, labels, 0.05, 5e-4, velocities)
        losses.append(loss)
    np.testing.assert_allclose(result.step_losses, losses, rtol=1e-9)
    exported = backend.export_weights(model)
    for part, array in peer.arrays().items():
        # a bias before normalisation has no gradient but rounding: it is compared with the step, not with itself
        assert np.abs(exported[part] - array).max() <= 1e-9 * max(np.abs(array).max(), 1e-3), part
