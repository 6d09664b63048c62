"""Time one problem in a process of its own: `python -m suites.throughput.worker REQUEST ANSWER` (JSON files).

All loops run in turn, round after round, in an order that is drawn anew in each, so that a machine that slows down slows
down all of them. The harness trains from its input pipeline, the plain loops from tensors that lie ready.
"""

import importlib
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

import backends
from backends.common import networks
from reference import divergences
from suites.datasets.images import ImageDataset
from suites.running import isolated
from suites.tasks.classification.batches import training_batches
from suites.throughput import problems
from suites.throughput.plain import Images, Plain
from suites.throughput.problems import Problem

HARNESS = "harness"
# largest relative difference of a plain loop's loss and the reference: they are to compute the same thing
LOSS_LIMIT = 1e-4
# timings of the input pipeline alone, and seconds of each
PIPELINE_ROUNDS, PIPELINE_SECONDS = 5, 0.5


def measure(problem: Problem) -> dict[str, Any]:
    """Time the harness and the plain loops.

    Returns:
        "samples_s": seconds of a step by loop and round; "pipeline_s": seconds of a batch of the input pipeline alone;
        "loss_error", "source" and "stand_in" of the data, "description", the backend's.
    """
    harness = backends.load(problem.backend)
    harness.set_up(threads=problem.threads, device=problem.device)
    data = problems.data()
    batches = training_batches(problem.recipe.training, data, seed=0)
    plain = importlib.import_module(f"suites.throughput.plain_{problem.backend}").prepare(
        problem, _images(data, itertools.islice(batches.epoch(0), problem.steps))
    )
    error = _check(problem, plain)
    loops: dict[str, Callable[[], float]] = {HARNESS: _harness_loop(harness, problem, _forever(batches))}
    loops |= {name: _timed(loop) for name, loop in plain.loops.items()}
    samples = _rounds(loops, problem)
    return {
        "samples_s": samples,
        "pipeline_s": [_pipeline(batches, round) for round in range(PIPELINE_ROUNDS)],
        "batch_size": problem.recipe.training["batch_size"],
        "loss_error": error,
        "source": data.source,
        "stand_in": data.stand_in,
        "description": harness.describe(),
    }


def _images(data: ImageDataset, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Images:
    normalise = data.normalisation
    return Images(list(batches), data.train.images, data.train.labels, normalise.mean, normalise.std)


def _check(problem: Problem, plain: Plain) -> float:
    """Relative difference of the plain loops' loss and the reference.

    Raises:
        RuntimeError: the plain loops do not train the same networks with the same loss.
    """
    random_logits, objective, shape = np.random.RandomState(0), problem.objective, (16, problem.networks[0].classes)
    student, teacher = (3 * random_logits.standard_normal(shape).astype("float32") for _ in range(2))
    labels = np.arange(16)
    alpha, beta, factor = 1.0, 0.0, objective["temperature"] ** 2
    if problem.method == "abkd":
        alpha, beta, factor = objective["alpha"], objective["beta"], 1.0
    soft, _ = divergences.ab_divergence_and_gradient(
        student, teacher, alpha, beta, temperature=objective["temperature"], reduction="mean"
    )
    wide = student.astype(float)
    hard = np.mean(np.log(np.exp(wide).sum(1)) - wide[labels, labels])
    wanted = objective["hard_weight"] * hard + objective["distill_weight"] * factor * float(soft)
    error = abs(plain.loss(student, teacher, labels) / wanted - 1)
    counts = tuple(networks.parameter_count(spec) for spec in problem.networks)
    if not error <= LOSS_LIMIT or plain.parameters != counts:
        raise RuntimeError(
            f"the plain loops do something else: loss off by {error:.2g} (allowed {LOSS_LIMIT:g}), parameters "
            f"{plain.parameters} (the harness: {counts})"
        )
    return error


def _forever(batches: Any) -> Iterator[Any]:
    """Batches of epoch after epoch, as a training goes through them."""
    return itertools.chain.from_iterable(batches.epoch(epoch) for epoch in itertools.count())


class _Stretch:
    """The next steps of a training; the clock starts when the first of their batches is asked for."""

    def __init__(self, stream: Iterator[Any], steps: int) -> None:
        self.stream, self.steps = stream, steps

    def __iter__(self) -> Iterator[Any]:
        self.started = time.perf_counter()
        return itertools.islice(self.stream, self.steps)


def _harness_loop(harness: ModuleType, problem: Problem, stream: Iterator[Any]) -> Callable[[], float]:
    """The harness' own training, a round of steps of it; what precedes the first step is not of a step."""
    teacher, student = (
        harness.build_model(spec, networks.initial_weights(spec, seed), "float32") for seed, spec in enumerate(problem.networks)
    )

    def run() -> float:
        stretch = _Stretch(stream, problem.steps)
        result = harness.train(
            teacher,
            student,
            stretch,
            method=problem.method,
            learning_rate=problems.LEARNING_RATE,
            progress=False,
            momentum=problem.recipe.training["momentum"],
            weight_decay=problem.recipe.training["weight_decay"],
            **problem.objective,
        )
        seconds = time.perf_counter() - stretch.started
        if result.status != "ok":
            raise RuntimeError(f"the training diverged after {len(result.step_losses)} steps: its time means nothing")
        return seconds

    return run


def _timed(loop: Callable[[], None]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        loop()
        return time.perf_counter() - started

    return run


def _rounds(loops: dict[str, Callable[[], float]], problem: Problem) -> dict[str, list[float]]:
    """Seconds of a step by loop, one figure a round; a first round that compiles and warms up is left out."""
    samples: dict[str, list[float]] = {name: [] for name in loops}
    order, names = random.Random(0), list(loops)
    for number in range(problem.rounds + 1):
        order.shuffle(names)
        for name in names:
            seconds = loops[name]() / problem.steps
            if number:
                samples[name].append(seconds)
    return samples


def _pipeline(batches: Any, epoch: int) -> float:
    """Seconds of a batch, from the start of an epoch on, for as long as the epoch or the time for it lasts."""
    started, made = time.perf_counter(), 0
    for _ in batches.epoch(epoch):
        made += 1
        if time.perf_counter() - started > PIPELINE_SECONDS:
            break
    return (time.perf_counter() - started) / made


if __name__ == "__main__":
    isolated.answer(Problem, measure)
