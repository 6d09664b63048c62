"""A small training whose batches are made with the student, also as a process that kills itself at a given batch.

python live_worker.py BACKEND CHECKPOINT KILL_AT
"""

import os
import signal
import sys

import numpy as np

SHAPE, CLASSES, ROWS, STEPS, EPOCHS = (4, 4, 1), 3, 6, 4, 3


class StudentsBatches:
    """Images are shifted by the student's logits on them, and all of its answers are remembered.

    `seen` is the sum of its answers and of the epochs' losses, `asked` their number: both are state that no epoch and no
    step tells.
    """

    def __init__(self, kill_at=None):
        self.kill_at, self.seen, self.asked = kill_at, np.zeros(CLASSES), 0

    def __len__(self):
        return STEPS

    def begin(self, ask):
        self.ask = ask

    def epoch(self, epoch, start=0):
        for step in range(start, STEPS):
            if epoch * STEPS + step == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            random = np.random.RandomState(100 * epoch + step)
            images = random.standard_normal((ROWS, *SHAPE)).astype("float32")
            logits = np.asarray(self.ask(images))
            again = np.asarray(self.ask(images))  # the same student: nothing has moved in between
            np.testing.assert_array_equal(logits, again)
            self.seen, self.asked = 0.5 * self.seen + logits.mean(0), self.asked + 1
            shift = np.tanh(self.seen).sum() + logits[:, :1, None, None]
            yield (images + shift).astype("float32"), (logits.argmax(1) + random.randint(0, 2, ROWS)) % CLASSES

    def after_epoch(self, metrics):
        self.seen = self.seen + metrics["train/loss"]

    def state(self):
        return {"seen": self.seen.copy()}, {"asked": self.asked}

    def restore(self, arrays, plain):
        self.seen, self.asked = arrays["seen"].copy(), plain["asked"]


def train(harness, checkpoint=None, kill_at=None, **changed):
    """(result, its weights, the batches)"""
    from backends.common import networks

    spec = networks.get("convnet-4", input_shape=SHAPE, classes=CLASSES)
    student = harness.build_model(spec, networks.initial_weights(spec, 1), "float32")
    batches = StudentsBatches(kill_at)
    arguments = {"method": "sft", "learning_rate": 0.1, "epochs": EPOCHS, "progress": False, "checkpoint": checkpoint}
    result = harness.train(None, student, batches, **{**arguments, **changed})
    return result, harness.export_weights(student), batches


if __name__ == "__main__":
    import backends

    name, place, kill_at = sys.argv[1:]
    chosen = backends.load(name)
    chosen.set_up(threads=1, device="cpu")
    train(chosen, place, int(kill_at))
