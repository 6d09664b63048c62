"""A user's own nnx modules and optax, with `train_student` and with the bare loss in a hand-written loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from backends.common import networks
from backends.jax import abkd_loss, predict, sgd, train_student
from backends.jax.training import train


@pytest.fixture(autouse=True)
def set_up(backend):
    """Every test runs under the suites' set-up: CPU, float64 enabled."""


class Perceptron(nnx.Module):
    """A model that is not ours: flax's own batch normalisation and dropout, inputs in a dictionary."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(5, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.out(self.dropout(nnx.relu(self.norm(self.hidden(inputs["x"])))))


@pytest.fixture
def batches():
    random = np.random.RandomState(0)
    labels = random.randint(0, 3, 64)
    points = random.standard_normal((64, 5)).astype(np.float32)
    points[np.arange(64), labels] += 3
    return [({"x": points[i : i + 16]}, labels[i : i + 16]) for i in range(0, 64, 16)]


def state_of(model):
    return [np.asarray(x) for x in jax.tree.leaves(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat)))]


def test_trains_a_users_own_module_with_an_optax_optimizer(batches):
    teacher, student = Perceptron(32, nnx.Rngs(0)), Perceptron(8, nnx.Rngs(1))
    teacher_before, seen = state_of(teacher), []
    result = train_student(
        teacher,
        student,
        batches,
        alpha=0.8,
        beta=0.2,
        optimizer=optax.adam(1e-2),
        epochs=5,
        progress=False,
        on_epoch=lambda epoch, model, loss: seen.append((epoch, model is student, loss)),
    )
    assert result.status == "ok" and result.student is student
    assert result.step_losses.shape == (20,) and result.epoch_losses[-1] < result.epoch_losses[0]
    assert len(result.step_seconds) == 20 and result.compile_seconds >= 0
    assert [s[:2] for s in seen] == [(i, True) for i in range(5)] and [s[2] for s in seen] == result.epoch_losses
    assert student.dropout.deterministic and student.norm.use_running_average
    assert np.abs(np.asarray(student.norm.mean[...])).max() > 0  # batch statistics moved along
    assert all(np.array_equal(a, b) for a, b in zip(teacher_before, state_of(teacher), strict=True))
    assert not teacher.dropout.deterministic  # not even its mode was changed
    logits = predict(student, {"x": np.concatenate([b[0]["x"] for b in batches])}, batch_size=24)
    assert logits.shape == (64, 3)
    np.testing.assert_allclose(logits[:16], student(batches[0][0]), rtol=1e-5, atol=1e-6)


def test_hand_written_loop_with_the_bare_loss_equals_train_student(batches):
    teacher = Perceptron(32, nnx.Rngs(0))
    ours, own = Perceptron(8, nnx.Rngs(1)), Perceptron(8, nnx.Rngs(1))
    result = train_student(teacher, ours, batches, alpha=0.5, beta=0.3, distill_weight=2.0, learning_rate=0.05, progress=False)
    teacher.eval()
    optimizer = nnx.Optimizer(own, sgd(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, inputs, labels):
        teacher_logits = teacher(inputs)
        loss_of = lambda m: abkd_loss(m(inputs), teacher_logits, labels, 0.5, 0.3, distill_weight=2.0)  # noqa: E731
        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        return loss

    losses = [float(step(own, optimizer, inputs, labels)) for inputs, labels in batches]
    np.testing.assert_allclose(result.step_losses, losses, rtol=1e-5)


def test_the_callers_arrays_survive_training(batches):
    student = Perceptron(8, nnx.Rngs(1))
    kept = jax.tree.leaves(nnx.state(student))
    train_student(None, student, batches, method="sft", learning_rate=0.1, progress=False)
    assert not any(leaf.is_deleted() for leaf in kept)


def test_another_alpha_and_seed_use_the_same_compiled_step(batches):
    teacher = Perceptron(32, nnx.Rngs(0))
    arguments = {"learning_rate": lambda step: 0.1 / (1 + step), "progress": False}
    train_student(teacher, Perceptron(8, nnx.Rngs(1)), batches, alpha=0.8, beta=0.2, **arguments)
    before = train._compiled_step.cache_info().misses
    for seed, alpha in enumerate((0.1, 0.5, 1.0)):
        result = train_student(teacher, Perceptron(8, nnx.Rngs(seed)), batches, alpha=alpha, beta=0.1, **arguments)
        assert result.compile_seconds < 0.5
    assert train._compiled_step.cache_info().misses == before


def test_a_loss_that_is_not_finite_stops_training(batches):
    result = train_student(
        None, Perceptron(8, nnx.Rngs(0)), batches, method="sft", learning_rate=1e30, epochs=5, progress=False
    )
    assert result.status == "diverged"
    assert not np.isfinite(result.step_losses[-1]) and np.isfinite(result.step_losses[:-1]).all()
    assert len(result.step_losses) == len(result.step_seconds) <= 4


def test_sgd_is_pytorchs():
    parameters, gradient = jnp.array([1.0, -2.0]), jnp.array([0.5, 0.25])
    optimizer = sgd(0.1, momentum=0.9, weight_decay=0.01)
    state = optimizer.init(parameters)
    expected, buffer = np.array([1.0, -2.0]), np.zeros(2)
    for _ in range(3):
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        buffer = 0.9 * buffer + np.asarray(gradient) + 0.01 * expected
        expected = expected - 0.1 * buffer
    np.testing.assert_allclose(parameters, expected, rtol=1e-12)


def test_weights_go_out_as_they_came_in(backend):
    spec = networks.get("convnet-3-5", input_shape=(8, 8, 1), classes=10)
    given = networks.initial_weights(spec, 0)
    exported = backend.export_weights(backend.build_model(spec, given, "float64"))
    assert exported.keys() == given.keys()
    assert all(np.array_equal(exported[name], given[name]) for name in given)
    with pytest.raises(ValueError, match="linear.bias"):
        backend.build_model(spec, {k: v for k, v in given.items() if k != "linear.bias"}, "float64")


def test_bad_arguments_are_named(batches):
    student = Perceptron(8, nnx.Rngs(0))
    with pytest.raises(ValueError, match="teacher=None"):
        train_student(None, student, batches, alpha=1, beta=0, learning_rate=0.1)
    with pytest.raises(ValueError, match="exactly one"):
        train_student(None, student, batches, method="sft")
    with pytest.raises(ValueError, match="one-shot"):
        train_student(None, student, iter(batches), method="sft", learning_rate=0.1, epochs=2)
    with pytest.raises(ValueError, match="empty"):
        train_student(None, student, [], method="sft", learning_rate=0.1, progress=False)
