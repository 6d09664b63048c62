"""`train_student` and models through the harness: the same meaning in every backend."""

import numpy as np
import pytest

from backends.common import networks

SHAPE = (8, 8, 1)
SPEC = networks.get("convnet-4-6", input_shape=SHAPE, classes=5)


def batches(count=6, rows=16, seed=0):
    random = np.random.RandomState(seed)
    return [(random.standard_normal((rows, *SHAPE)).astype("float32"), random.randint(0, 5, rows)) for _ in range(count)]


def model(backend, seed=1, dtype="float32"):
    return backend.build_model(SPEC, networks.initial_weights(SPEC, seed), dtype)


def test_weights_go_in_and_come_out(backend):
    weights = networks.initial_weights(SPEC, 3)
    exported = backend.export_weights(model(backend, 3, "float64"))
    assert exported.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_allclose(exported[name], value, rtol=1e-12)


def test_network_against_numpy(backend):
    """A plain NumPy forward pass of the evaluation mode, with running statistics that are not trivial."""
    weights = networks.initial_weights(SPEC, 4)
    random = np.random.RandomState(5)
    for name in weights:
        if "bn" in name:
            weights[name] = random.uniform(0.5, 1.5, weights[name].shape)
    images = random.standard_normal((3, *SHAPE))
    x = images
    for i in range(2):
        if i:
            x = x.reshape(3, x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # n, h, w, c, 3, 3
        x = np.einsum("nhwcij,ocij->nhwo", windows, weights[f"stages.{i}.conv.weight"])
        bn = {key: weights[f"stages.{i}.bn.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
        x = (x - bn["running_mean"]) / np.sqrt(bn["running_var"] + 1e-5) * bn["weight"] + bn["bias"]
        x = np.maximum(x, 0)
    want = x.mean((1, 2)) @ weights["linear.weight"].T + weights["linear.bias"]
    network = backend.build_model(SPEC, weights, "float64")
    np.testing.assert_allclose(backend.predict(network, images), want, rtol=1e-11)


def test_first_step_against_reference(backend):
    """Loss of the first step equals the reference's on the models' own training-mode logits; statistics move by 0.1."""
    student, teacher = model(backend, 1, "float64"), model(backend, 2, "float64")
    before = backend.export_weights(student)
    result = backend.train(
        teacher,
        student,
        batches(1),
        dtype="float64",
        method="abkd",
        alpha=0.8,
        beta=0.2,
        temperature=2.0,
        learning_rate=0.1,
        progress=False,
    )
    after = backend.export_weights(student)
    inputs = np.pad(batches(1)[0][0].astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(1, 2))
    channels = np.einsum("nhwcij,ocij->nhwo", windows, before["stages.0.conv.weight"]).reshape(-1, 4)
    name = "stages.0.bn.running_var"
    np.testing.assert_allclose(after[name], 0.9 + 0.1 * channels.var(0, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(after["stages.0.bn.running_mean"], 0.1 * channels.mean(0), rtol=1e-9, atol=1e-14)
    assert result.status == "ok"
    assert result.step_losses.shape == (1,)
    assert np.isfinite(result.step_losses).all()


def test_sgd_with_momentum_and_decay_by_hand(backend):
    """Two steps on one batch of a linear layer's bias: the gradient of hard labels is known in closed form."""
    student = model(backend, 1, "float64")
    before = backend.export_weights(student)
    rates = [0.1, 0.05]
    result = backend.train(
        None,
        student,
        batches(2),
        dtype="float64",
        method="sft",
        learning_rate=lambda step: rates[step],
        momentum=0.9,
        weight_decay=0.01,
        progress=False,
    )
    after = backend.export_weights(student)
    again = model(backend, 1, "float64")
    backend.train(None, again, batches(1), dtype="float64", method="sft", learning_rate=1.0, momentum=0.0, progress=False)
    bias = "linear.bias"
    gradient = before[bias] - backend.export_weights(again)[bias]  # of the first batch, from a step of rate 1
    first = before[bias] - rates[0] * (gradient + 0.01 * before[bias])
    middle = model(backend, 1, "float64")
    backend.train(
        None,
        middle,
        batches(1),
        dtype="float64",
        method="sft",
        learning_rate=rates[0],
        momentum=0.9,
        weight_decay=0.01,
        progress=False,
    )
    np.testing.assert_allclose(backend.export_weights(middle)[bias], first, rtol=1e-12)
    probe = backend.build_model(SPEC, backend.export_weights(middle), "float64")
    backend.train(None, probe, batches(2)[1:], dtype="float64", method="sft", learning_rate=1.0, momentum=0.0, progress=False)
    second_gradient = first - backend.export_weights(probe)[bias]
    buffer = 0.9 * (gradient + 0.01 * before[bias]) + second_gradient + 0.01 * first
    np.testing.assert_allclose(after[bias], first - rates[1] * buffer, rtol=1e-11)
    assert len(result.step_losses) == 2


@pytest.mark.parametrize("method", ["sft", "kd", "rkld", "abkd"])
def test_training_learns_and_reports(backend, method):
    student, teacher = model(backend, 1), model(backend, 2)
    seen = []
    arguments = {"alpha": 0.8, "beta": 0.2} if method == "abkd" else {}
    data = batches(4)
    result = backend.train(
        None if method == "sft" else teacher,
        student,
        data,
        method=method,
        learning_rate=0.05,
        epochs=15,
        progress=False,
        on_epoch=lambda epoch, trained, loss: seen.append((epoch, loss)),
        **arguments,
    )
    assert result.status == "ok"
    assert result.student is student
    assert [epoch for epoch, _ in seen] == list(range(15))
    assert result.epoch_losses == pytest.approx([loss for _, loss in seen])
    assert len(result.step_losses) == 60
    assert result.epoch_losses[-1] < 0.9 * result.epoch_losses[0]
    assert result.compile_seconds >= 0


def test_same_cell_twice_is_the_same(backend):
    losses = [
        backend.train(
            model(backend, 2), model(backend, 1), batches(), method="kd", temperature=2.0, learning_rate=0.1, progress=False
        ).step_losses
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*losses)


def test_divergence_is_reported_not_hidden(backend):
    result = backend.train(None, model(backend), batches(), method="sft", learning_rate=1e30, epochs=5, progress=False)
    assert result.status == "diverged"


def test_ignored_labels_do_not_train(backend):
    data = [(batches(1)[0][0], np.full(16, -100))]
    student = model(backend)
    before = backend.export_weights(student)
    result = backend.train(model(backend, 2), student, data, method="kd", learning_rate=0.5, momentum=0.0, progress=False)
    assert result.step_losses[0] == 0
    np.testing.assert_array_equal(backend.export_weights(student)["linear.weight"], before["linear.weight"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "abdk"}, "'abdk'"),
        ({"method": "abkd"}, "alpha and beta"),
        ({"method": "kd", "alpha": 0.3}, "alpha=0.3"),
        ({"method": "kd", "temperature": 0}, "temperature=0"),
        ({"method": "sft", "learning_rate": None}, "exactly one"),
        ({"method": "sft", "learning_rate": -1}, "learning_rate=-1"),
        ({"method": "sft", "epochs": 0}, "epochs=0"),
    ],
)
def test_bad_arguments(backend, arguments, message):
    with pytest.raises(ValueError, match=message):
        backend.train(model(backend, 2), model(backend), batches(1), **{"learning_rate": 0.1, "progress": False, **arguments})


def test_missing_teacher_and_empty_batches(backend):
    with pytest.raises(ValueError, match="teacher"):
        backend.train(None, model(backend), batches(1), method="kd", learning_rate=0.1, progress=False)
    with pytest.raises(ValueError, match="empty"):
        backend.train(None, model(backend), [], method="sft", learning_rate=0.1, progress=False)
