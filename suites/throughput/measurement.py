"""Run the worker process for a cell, and turn its timings into ratios with their uncertainty."""

import dataclasses
import statistics
import time

import numpy as np

from suites.cell import Cell
from suites.running import isolated
from suites.suite import Context, Outcome, Report, Stop
from suites.throughput.problems import ROUNDS, Problem
from suites.throughput.worker import HARNESS

# seconds after which a worker is taken for stuck
TIMEOUT_SECONDS = 1800
# loops whose batches are made one image at a time; the others have them ready
LOADERS = ("plain, data loader",)
RESAMPLES, CONFIDENCE = 4000, 0.95


def run(cell: Cell, context: Context, stop: Stop, report: Report) -> Outcome:
    """Measure a cell."""
    asked = problem(cell, isolated.threads(context))
    started = time.perf_counter()
    answer = isolated.ask("suites.throughput.worker", dataclasses.asdict(asked), TIMEOUT_SECONDS)
    samples, batch = answer["samples_s"], answer["batch_size"]
    rates = {name: batch / statistics.median(seconds) for name, seconds in samples.items()}
    pipeline = batch / statistics.median(answer["pipeline_s"])
    preloaded = [name for name in samples if name != HARNESS and name not in LOADERS]
    metrics = {
        "throughput/images_per_s": rates[HARNESS],
        "throughput/plain_images_per_s": max(rates[name] for name in preloaded),
        **ratio_to_fastest(samples, preloaded, "throughput/times_plain"),
        "throughput/input_images_per_s": pipeline,
        "throughput/input_times_training": pipeline / rates[HARNESS],
        "time/total_s": time.perf_counter() - started,
    }
    for name in set(LOADERS) & samples.keys():
        metrics |= {"throughput/loader_images_per_s": rates[name]}
        metrics |= ratio_to_fastest(samples, [name], "throughput/times_loader")
    details = {
        "samples_s": samples,
        "images_per_s": rates,
        "steps_per_round": asked.steps,
        "pipeline_s": answer["pipeline_s"],
        "loss_error": answer["loss_error"],
        "description": answer["description"],
        "data": {"source": answer["source"], "stand_in": answer["stand_in"]},
    }
    return Outcome("ok", "", metrics, {}, details)


def problem(cell: Cell, threads: int) -> Problem:
    """What the worker is to time for a cell."""
    rounds, steps = ROUNDS[cell.scale]
    parameters = {name: value for name, value in cell.options if isinstance(value, (int, float))}
    return Problem(cell.backend, cell.pair, cell.method, parameters, rounds, steps, cell.device, threads)


def ratio_to_fastest(samples: dict[str, list[float]], others: list[str], name: str) -> dict[str, float]:
    """Throughput of the harness over that of the fastest of other loops, with its bootstrap interval over rounds.

    The ratio to a loop is the median over rounds of what was measured in the same round; the fastest loop is the one
    with the smallest such ratio, chosen anew in every resample.

    Args:
        samples: seconds of a step by loop, one figure a round.
        others: loops to compare with, at least one.
        name: of the metric; its interval has "_low" and "_high" behind it.
    """
    ratios = np.array([samples[other] for other in others]) / np.array(samples[HARNESS])  # [loops, rounds]
    rounds = ratios.shape[1]
    drawn = np.random.RandomState(0).randint(0, rounds, (RESAMPLES, rounds))
    resampled = np.median(ratios[:, drawn], axis=2).min(0)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return {name: float(np.median(ratios, axis=1).min()), f"{name}_low": float(low), f"{name}_high": float(high)}
