"""A small training with checkpoints, also as a process of its own that kills itself at a given step.

python training_worker.py BACKEND CHECKPOINT RESULT [KILL_AT]
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

SHAPE, CLASSES, ROWS, STEPS, EPOCHS = (8, 8, 1), 5, 16, 6, 3


class EpochBatches:
    """Batches that depend on (epoch, step) alone; the process is killed when it asks for batch number `kill_at`."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at

    def __len__(self):
        return STEPS

    def __iter__(self):
        raise AssertionError("a training that can ask for an epoch must do so")

    def epoch(self, epoch, start=0):
        for step in range(start, STEPS):
            if epoch * STEPS + step == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            random = np.random.RandomState(1000 * epoch + step)
            yield random.standard_normal((ROWS, *SHAPE)).astype("float32"), random.randint(0, CLASSES, ROWS)


def train(harness, checkpoint=None, kill_at=None, **changed):
    """Distil by DKD, whose weight changes with the epoch; (result, its weights)."""
    from backends.common import networks

    spec = networks.get("convnet-4", input_shape=SHAPE, classes=CLASSES)
    teacher, student = (harness.build_model(spec, networks.initial_weights(spec, seed), "float32") for seed in (2, 1))
    arguments = {
        "method": "dkd",
        "warm_up_epochs": 2,
        "learning_rate": lambda step: 0.2 / (1 + step),
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "epochs": EPOCHS,
        "progress": False,
        "checkpoint": checkpoint,
        "checkpoint_steps": 4,
        "on_epoch": lambda epoch, model, loss: {"logit": float(harness.predict(model, np.ones((1, *SHAPE)))[0, 0])},
        "fingerprint": "data and seed",
        **changed,
    }
    result = harness.train(teacher, student, EpochBatches(kill_at), **arguments)
    return result, harness.export_weights(student)


def numbers(result, weights):
    """All that must be the same bit for bit."""
    return {
        **weights,
        "step_losses": result.step_losses,
        "epoch_losses": np.array(result.epoch_losses),
        "epoch_metrics": np.array([metrics["logit"] for metrics in result.epoch_metrics]),
    }


if __name__ == "__main__":
    import backends

    name, place, target, *kill = sys.argv[1:]
    chosen = backends.load(name)
    chosen.set_up(threads=1, device="cpu")
    outcome = numbers(*train(chosen, place, int(kill[0]) if kill else None))
    np.savez(Path(target), **outcome)
