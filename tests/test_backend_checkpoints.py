"""Trainings that are killed and go on, and checkpoints that do not belong to them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import training_worker
from conftest import CHOSEN
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from backends.common.training import checkpoints
from backends.common.training.loop import StopTraining
from backends.common.training.optimizers import AdamW


@pytest.fixture(scope="module")
def uninterrupted(backend):
    return training_worker.numbers(*training_worker.train(backend))


def killed(path, step):
    """Train in a process of its own that ends by SIGKILL at `step`."""
    worker = Path(training_worker.__file__)
    command = [sys.executable, str(worker), CHOSEN, str(path), str(path) + ".npz", str(step)]
    ended = subprocess.run(command, cwd=worker.parent.parent, env={**__import__("os").environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def stopped(backend, path, at):
    """A checkpoint of a training that an exception ended, which is enough where the process need not die."""

    def stop(epoch, model, loss):
        if epoch == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_worker.train(backend, path, on_epoch=stop, checkpoint_steps=None)


def test_killed_within_an_epoch_and_resumed_is_bit_for_bit_the_uninterrupted_run(backend, uninterrupted, tmp_path):
    path = tmp_path / "training.safetensors"
    step = 11  # in the second epoch, three steps after the last checkpoint
    killed(path, step)
    result, weights = training_worker.train(backend, path)
    assert result.resumed_at == 8
    assert_same(training_worker.numbers(result, weights), uninterrupted)
    again, weights = training_worker.train(backend, path)  # nothing is left to do
    assert again.resumed_at == training_worker.EPOCHS * training_worker.STEPS
    assert_same(training_worker.numbers(again, weights), uninterrupted)
    assert not list(tmp_path.glob("*.part"))


def test_adamws_moments_and_count_are_kept(backend, tmp_path):
    path, adamw = tmp_path / "training.safetensors", {"optimizer": AdamW(weight_decay=0.1, exclude=("*.bias",))}

    def stop(epoch, model, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_worker.train(backend, path, on_epoch=stop, **adamw)
    resumed, weights = training_worker.train(backend, path, **adamw)
    assert resumed.resumed_at > 0
    want = training_worker.numbers(*training_worker.train(backend, **adamw))
    assert_same(training_worker.numbers(resumed, weights), want)
    with pytest.raises(ValueError, match="optimizer"):
        training_worker.train(backend, path, optimizer=AdamW(weight_decay=0.2, exclude=("*.bias",)))


def test_a_training_that_is_asked_to_stop_ends_after_the_epoch_and_may_go_on_later(backend, uninterrupted, tmp_path):
    def stop(epoch, model, loss):
        found = {"logit": float(backend.predict(model, np.ones((1, *training_worker.SHAPE)))[0, 0])}
        if epoch == 1:
            raise StopTraining(found)
        return found

    path = tmp_path / "training.safetensors"
    result, _ = training_worker.train(backend, path, on_epoch=stop)
    assert result.status == "stopped" and len(result.step_losses) == 2 * training_worker.STEPS
    assert len(result.epoch_metrics) == len(result.epoch_losses) == 2
    result, weights = training_worker.train(backend, path)
    assert result.resumed_at == 2 * training_worker.STEPS
    assert_same(training_worker.numbers(result, weights), uninterrupted)


def test_other_settings_are_refused_and_named(backend, tmp_path):
    path = tmp_path / "training.safetensors"
    stopped(backend, path, 1)
    for changed, message in (
        ({"non_target_weight": 6}, "parameters.*6"),
        ({"momentum": 0.8}, "optimizer"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"fingerprint": "other data"}, "fingerprint: then 'data and seed', now 'other data'"),
    ):
        with pytest.raises(ValueError, match=message):
            training_worker.train(backend, path, **changed)


def test_another_thread_count_is_said(backend, tmp_path, uninterrupted):
    path = tmp_path / "training.safetensors"
    stopped(backend, path, 1)
    found = checkpoints.read(path)
    other = {**found.surroundings, "threads": "17"}
    checkpoints.write(path, checkpoints.Checkpoint(found.arrays, found.state, found.settings, other))
    with pytest.warns(RuntimeWarning, match="threads: then '17'"):
        result, _ = training_worker.train(backend, path)
    assert result.status == "ok" and result.resumed_at == 6


def test_damaged_and_foreign_files_are_refused_and_kept(backend, tmp_path):
    path = tmp_path / "training.safetensors"
    stopped(backend, path, 1)
    whole = path.read_bytes()
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    arrays = load_file(path)
    name = next(name for name, array in arrays.items() if array.dtype == np.float32 and array.size > 1)
    changed = {**arrays, name: arrays[name] + 1}
    save_file(changed, tmp_path / "changed", header)
    save_file(arrays, tmp_path / "foreign", {"training": json.dumps({"format": "another"})})
    save_file(arrays, tmp_path / "weights")
    (tmp_path / "torn").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("no checkpoint at all, but long enough to hold a header")
    for other in ("changed", "foreign", "weights", "torn", "empty", "text"):
        before = (tmp_path / other).read_bytes()
        with pytest.raises(ValueError, match="cannot be read.*Delete the file"):
            training_worker.train(backend, tmp_path / other)
        assert (tmp_path / other).read_bytes() == before


def test_bad_arguments(backend, tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        training_worker.train(backend, tmp_path / "a", checkpoint_every=0)
    with pytest.raises(ValueError, match="precision='half'"):
        training_worker.train(backend, precision="half")
    batches = {(epoch, step): 0 for epoch in range(2) for step in range(2)}.keys()
    with pytest.raises(ValueError, match="checkpoint_steps=2.*epoch\\(epoch, start\\)"):
        backend.train(None, object_with_input(backend), batches, method="sft", learning_rate=0.1, checkpoint_steps=2)


def object_with_input(backend):
    from backends.common import networks

    spec = networks.get("convnet-4", input_shape=training_worker.SHAPE, classes=5)
    return backend.build_model(spec, networks.initial_weights(spec, 0), "float32")


def test_divergence_is_told_by_its_step_within_the_epoch(backend):
    result, _ = training_worker.train(backend, learning_rate=lambda step: 0.1 if step < 8 else 1e30)
    assert result.status == "diverged"
    assert result.diverged_at == len(result.step_losses) - 1 and result.diverged_at >= 9
    assert not np.isfinite(result.step_losses[-1]) and np.isfinite(result.step_losses[:-1]).all()
    assert len(result.epoch_losses) == 2 or len(result.epoch_losses) == 3


def test_bfloat16_computes_in_it_and_keeps_float32_weights(backend, uninterrupted):
    result, weights = training_worker.train(backend, precision="bfloat16")
    assert result.status == "ok"
    assert all(array.dtype == np.float32 for array in weights.values())
    first, exact = result.step_losses[0], uninterrupted["step_losses"][0]
    assert first != exact
    assert abs(first - exact) < 0.02 * exact
