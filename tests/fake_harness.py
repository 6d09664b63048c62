"""A backend made of the NumPy reference, for tests of the suites that need no framework.

Its "network" is one linear layer on the pixels, trained by gradient descent on the labels, the slower the smaller α is;
nothing here is fast or deep.
"""

import os
import time
import uuid
import zlib
from pathlib import Path

import numpy as np

from backends.common import methods
from backends.common.training.batches import epoch_batches
from backends.common.training.loop import StopTraining
from backends.common.training.result import TrainingResult
from reference.catalogue import DIVERGENCES

NAME = "torch"
# set by a test: called with the number of the training that begins, to break it off
on_train = None
trainings = 0


def describe():
    return {"numpy": np.__version__, "threads": "1", "deterministic": "True"}


def set_up(*, threads=None, device="auto"):
    return "cpu"


def peak_memory_bytes():
    return None


def value_and_gradient(
    divergence,
    student_logits,
    teacher_logits,
    parameters,
    *,
    temperature=1.0,
    mask=None,
    weights=None,
    reduction="none",
    dtype="float32",
    teacher_dtype=None,
):
    options = {"temperature": temperature, "mask": mask, "weights": weights, "reduction": reduction}
    return DIVERGENCES[divergence].reference(student_logits, teacher_logits, *parameters.values(), **options)


def objective_and_gradient(
    student_logits,
    teacher_logits,
    labels,
    *,
    alpha,
    beta,
    temperature=1.0,
    distill_weight=1.0,
    hard_weight=1.0,
    ignore_index=-100,
    reduction="mean",
    shift=False,
    weights=None,
    normalizer=None,
    dtype="float32",
):
    raise NotImplementedError("no test of the suites asks the fake for it")


def named_objective_and_gradient(name, student_logits, teacher_logits, labels, parameters, dtype="float32"):
    raise NotImplementedError("no test of the suites asks the fake for it")


def prepare_call(divergence, student, teacher, parameters, *, temperature=1.0, dtype="float32"):
    raise NotImplementedError("no test of the suites asks the fake for it")


def prepare_copy(elements):
    raise NotImplementedError("no test of the suites asks the fake for it")


def training_logits(model, inputs):
    return predict(model, inputs)


# trained linear layers, by the number that stands for them among the exported network's weights
_trained = {}


def build_model(spec, arrays, dtype):
    token = float(arrays["linear.bias"][0])
    size = int(np.prod(spec.input_shape))
    shared = Path(os.environ.get("ABKD_TEST_TRAINED", "none"), f"{token:.0f}.npy")  # of trainings in other processes
    if shared.is_file():
        return {"weight": np.load(shared), "network": dict(arrays)}
    start = np.random.RandomState(int(abs(token) * 1e6)).standard_normal((size, spec.classes)) * 0.01
    return {"weight": _trained[token].copy() if token in _trained else start, "network": dict(arrays)}


def export_weights(model):
    token = float(len(_trained) + 1)
    if os.environ.get("ABKD_TEST_TRAINED"):
        token = float(zlib.crc32(model["weight"].tobytes()) >> 8)  # a whole number that float32 holds
        np.save(Path(os.environ["ABKD_TEST_TRAINED"], f"{token:.0f}.npy"), model["weight"])
    _trained[token] = model["weight"].copy()
    network = {name: np.array(array) for name, array in model["network"].items()}
    network["linear.bias"][0] = token
    return network


def _product(indices, left, right):
    """A matrix product whose last digits do not depend on a process' number of BLAS threads, of which Ray's have one."""
    return np.einsum(indices, left, right)


def predict(model, inputs, batch_size=512):
    return _product("ni,ik->nk", inputs.reshape(len(inputs), -1).astype(np.float64), model["weight"])


def train(teacher, student, batches, *, dtype=None, **arguments):
    return _train(student, batches, **arguments)


def _train(
    student,
    batches,
    *,
    method="abkd",
    alpha=None,
    beta=None,
    temperature=None,
    distill_weight=None,
    hard_weight=1.0,
    learning_rate=None,
    momentum=0.9,
    weight_decay=0.0,
    epochs=1,
    progress=True,
    on_epoch=None,
    precision="float32",
    **own,
):
    global trainings
    trainings += 1
    if os.environ.get("ABKD_TEST_STARTS"):  # of trainings in other processes
        Path(os.environ["ABKD_TEST_STARTS"], f"{os.getpid()}-{uuid.uuid4().hex}").touch()
    gate = os.environ.get("ABKD_TEST_GATE")  # while this file is there, students wait at their start
    while gate and alpha is not None and Path(gate).exists():
        time.sleep(0.02)
    if on_train is not None:
        on_train(trainings)
    methods.resolve(method, alpha=alpha, beta=beta, temperature=temperature, hard_weight=hard_weight, **own)
    result = TrainingResult(student)
    losses = []
    slowness = 1.0 if alpha is None else 0.01 + 0.2 * alpha
    for epoch in range(epochs):
        time.sleep(float(os.environ.get("ABKD_TEST_PAUSE", 0)))
        for images, labels in epoch_batches(batches, epoch):
            inputs = images.reshape(len(images), -1).astype(np.float64)
            logits = _product("ni,ik->nk", inputs, student["weight"])
            q = np.exp(logits - logits.max(-1, keepdims=True))
            q /= q.sum(-1, keepdims=True)
            losses.append(-np.log(q[np.arange(len(labels)), labels]).mean())
            q[np.arange(len(labels)), labels] -= 1
            student["weight"] -= slowness * learning_rate(len(losses) - 1) * _product("ni,nk->ik", inputs, q) / len(labels)
        result.epoch_losses.append(float(np.mean(losses[-len(batches) :])))
        if on_epoch is not None:
            try:
                result.epoch_metrics.append(on_epoch(epoch, student, result.epoch_losses[-1]))
            except StopTraining as stop:
                result.epoch_metrics.append(stop.metrics)
                result.status = "stopped"
                break
    result.step_losses = np.array(losses)
    result.step_seconds = [0.001] * len(losses)
    return result
