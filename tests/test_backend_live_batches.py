"""Batches that are made with the student: it is up to date when asked, and a killed training goes on bit for bit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import live_worker
import numpy as np
import pytest
from conftest import CHOSEN


@pytest.fixture(scope="module")
def uninterrupted(backend):
    return live_worker.train(backend)


def assert_same(training, expected):
    (result, weights, batches), (wanted, wanted_weights, wanted_batches) = training, expected
    np.testing.assert_array_equal(result.step_losses, wanted.step_losses)
    assert result.epoch_losses == wanted.epoch_losses
    for name, array in wanted_weights.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)
    np.testing.assert_array_equal(batches.seen, wanted_batches.seen)
    assert batches.asked == wanted_batches.asked


def killed(path, step):
    worker = Path(live_worker.__file__)
    ended = subprocess.run(
        [sys.executable, str(worker), CHOSEN, str(path), str(step)],
        cwd=worker.parent.parent,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert ended.returncode == -signal.SIGKILL


def test_killed_at_a_random_step_and_resumed_is_bit_for_bit_the_uninterrupted_run(backend, uninterrupted, tmp_path):
    step = random.SystemRandom().randrange(live_worker.STEPS + 1, live_worker.STEPS * live_worker.EPOCHS)
    print(f"killed at step {step}")
    killed(tmp_path / "training", step)
    training = live_worker.train(backend, tmp_path / "training")
    assert training[0].resumed_at == step // live_worker.STEPS * live_worker.STEPS
    assert_same(training, uninterrupted)


def test_a_checkpoint_within_an_epoch_holds_the_batches_state_as_of_then(backend, uninterrupted, tmp_path):
    class Stopped(Exception):
        pass

    def rate(step, epoch, steps_per_epoch):
        assert (epoch, steps_per_epoch) == (step // live_worker.STEPS, live_worker.STEPS)
        if stop_at is not None and step == stop_at:
            raise Stopped
        return 0.1

    path, stop_at = tmp_path / "training", None
    steps = {"checkpoint_steps": 3, "learning_rate": rate}
    stop_at = 7
    with pytest.raises(Stopped):
        # the samples of the rate that a checkpoint holds are asked for first: step 7 is none of them
        live_worker.train(backend, path, **steps)
    stop_at = None
    training = live_worker.train(backend, path, **steps)
    assert training[0].resumed_at == 6
    assert_same(training, uninterrupted)


def test_the_student_is_asked_as_the_last_step_left_it(backend):
    """Answers to the first batch of each step are those of a training that was that long."""
    answers = []

    class Asking(live_worker.StudentsBatches):
        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch, start):
                answers.append(np.asarray(self.ask(np.ones((1, *live_worker.SHAPE), "float32"))))
                yield batch

    original, live_worker.StudentsBatches = live_worker.StudentsBatches, Asking
    try:
        live_worker.train(backend, epochs=1)
    finally:
        live_worker.StudentsBatches = original
    assert len(answers) == live_worker.STEPS
    assert all(not np.array_equal(one, other) for one, other in zip(answers, answers[1:], strict=False))
