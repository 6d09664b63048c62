"""Records as suites would write them, for the tests of `results`."""

import datetime
import math

import numpy as np

from results import Record

DIGITS = {"pair": "digits-teacher:digits-student", "dataset": "digits", "scale": "smoke", "dtype": "float32", "device": "cpu"}
METHODS = {"sft": {}, "kd": {"temperature": 4.0}, "abkd": {"alpha": 0.8, "beta": 0.2, "temperature": 4.0}}


def stamp(second: int = 0) -> str:
    """An ISO time in UTC, `second` seconds after a fixed one."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(seconds=second)).isoformat()


def distill(method="abkd", seed=0, backend="torch", accuracy=0.97, invocation="first", second=0, **fields) -> Record:
    """A finished student with curves of three epochs."""
    cell = {"backend": backend, "method": method, "seed": seed, **DIGITS, **METHODS[method], **fields.pop("cell", {})}
    return Record(
        **{
            "suite": "distill",
            "backend": backend,
            "key": f"distill-{backend}-{method}-{seed}",
            "timing_key": "two-cores",
            "invocation": invocation,
            "cell": cell,
            "status": "ok",
            "metrics": {"test/accuracy": accuracy, "test/nll": 1 - accuracy, "train/loss": 0.25, "time/step_ms": 4.5},
            "curves": {"train/loss": [2.0, 1.0, 0.25], "test/accuracy": [0.5, 0.9, accuracy]},
            "environment": {"cpu": "a processor", "version.numpy": "2.4.6", "git_commit": "abc"},
            "started": stamp(second),
            "finished": stamp(second + 9),
            **fields,
        }
    )


def diverged(method="kd", seed=3, **fields) -> Record:
    """A student whose loss became nan."""
    return distill(
        method,
        seed,
        status="diverged",
        message="the loss was not finite after 41 steps",
        metrics={"train/loss": math.nan, "test/nll": math.inf, "test/accuracy": 0.1},
        curves={"train/loss": [2.0, math.nan]},
        **fields,
    )


def agreement(dtype="float32", backend="torch", value=1e-7, gradient=2e-7, classes=10, **fields) -> Record:
    """Errors of one cell of the agreement suite."""
    cell = {"backend": backend, "divergence": "ab_divergence", "alpha": 0.8, "beta": 0.2, "classes": classes, "dtype": dtype}
    return Record(
        **{
            "suite": "agreement",
            "backend": backend,
            "key": f"agreement-{backend}-{dtype}-{classes}",
            "invocation": "first",
            "cell": cell,
            "status": "ok",
            "metrics": {"agreement/value_error": value, "agreement/gradient_error": gradient},
            "finished": stamp(),
            **fields,
        }
    )


def loss(implementation="ours", backend="torch", milliseconds=40.0, **fields) -> Record:
    """A timing of the loss."""
    cell = {"backend": backend, "rows": 512, "classes": 50257, "dtype": "float32", "implementation": implementation}
    if implementation == "ours":
        cell |= {"divergence": "ab_divergence", "alpha": 0.8, "beta": 0.2}
    times = {"loss/forward_ms": milliseconds / 2, "loss/forward_backward_ms": milliseconds, "loss/percent_of_copy": 61.0}
    return Record(
        **{
            "suite": "loss",
            "backend": backend,
            "key": f"loss-{backend}-{implementation}",
            "invocation": "first",
            "cell": cell,
            "status": "ok",
            "metrics": {**times, "memory/peak_mb": 350.0},
            "finished": stamp(),
            **fields,
        }
    )


def trace(backend="torch", dtype="float64", difference=0.0) -> Record:
    """The first 20 training steps, every figure off by a relative difference."""
    factor = 1 + difference
    found = {
        "losses": list(2.3 * np.exp(-np.arange(20) / 9) * factor),
        "logits": (np.arange(12.0).reshape(3, 4) * factor).tolist(),
        "statistics": {"bn.running_mean": [0.5 * factor, 1.0 * factor], "bn.running_var": [1.0, 2.0]},
    }
    cell = {"scale": "trace", "dtype": dtype}
    return distill("abkd", 0, backend, cell=cell, key=f"trace-{backend}-{dtype}", details={"trace": found}, curves={})
