"""Throughput: ratios and their intervals, what has no plain loop, and that it runs on request only."""

import numpy as np
import pytest

from results.records.record import Record
from results.tables import speed
from suites import checks, registry, selection
from suites.cell import Cell
from suites.throughput import problems
from suites.throughput.measurement import ratio_to_fastest


def samples(rounds=40, **medians):
    """Seconds that share the machine's slow rounds, and have a little noise of their own."""
    random = np.random.RandomState(0)
    slow = random.choice([1.0, 1.5, 2.0], rounds)
    return {name: list(median * slow * random.normal(1, 0.01, rounds)) for name, median in medians.items()}


def test_the_ratio_is_to_the_faster_loop_and_slow_rounds_drop_out():
    found = ratio_to_fastest(samples(harness=1.0, a=1.3, b=0.95), ["a", "b"], "times")
    assert found["times"] == pytest.approx(0.95, abs=0.01)
    assert found["times_low"] <= found["times"] <= found["times_high"] < found["times_low"] + 0.02
    few = ratio_to_fastest(samples(6, harness=1.0, a=1.3, b=0.95), ["a", "b"], "times")
    assert few["times_high"] - few["times_low"] > found["times_high"] - found["times_low"]


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says():
    random, inside = np.random.RandomState(1), 0
    for _ in range(80):
        drawn = {name: list(random.normal(1, 0.05, 30)) for name in ("harness", "a")}
        found = ratio_to_fastest(drawn, ["a"], "times")
        inside += found["times_low"] <= 1 <= found["times_high"]
    assert inside >= 0.85 * 80


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"method": "dkd"}, "'dkd'"), ({"dtype": "float64"}, "float64"), ({"pair": "wrn-40-2:resnet20"}, "'wrn-40-2'")],
)
def test_what_has_no_plain_loop_says_so(changed, words):
    cell = Cell("throughput", **({"backend": "torch", "pair": problems.PAIR, "method": "abkd"} | changed))
    status, reason = registry.SUITES["throughput"].refusal(cell, None)
    assert status == "unsupported" and words in reason


def test_it_runs_on_request_only():
    assert "throughput" not in selection.Selection().suites
    checks.check(selection.Selection(suites=("throughput",)))


def test_compare_shows_it():
    metrics = {f"throughput/{name}images_per_s": value for name, value in (("", 300.0), ("plain_", 310.0), ("input_", 9e4))}
    metrics |= {"throughput/times_plain": 0.971, "throughput/times_plain_low": 0.95, "throughput/times_plain_high": 0.99}
    cell = {"backend": "jax", "pair": problems.PAIR, "method": "kd", "scale": "small"}
    record = Record(suite="throughput", backend="jax", key="k", invocation="i", cell=cell, status="ok", metrics=metrics)
    table = speed.throughput([record])
    assert table.frame.iloc[0].tolist() == [problems.PAIR, "jax", "kd", "300", "310", "—", "90000", "0.97 (0.95 to 0.99)", "—"]
    assert speed.throughput([]) is None
