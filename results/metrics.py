"""The table of metrics: what a figure of a record is called, its unit, which direction is better, how far it may fall.

A metric without a row is kept and shown like any other, but nothing says which of two figures is the better one. A row may
also be added at run time: `METRICS["test/f1"] = Metric("F1", better="higher", format=".4f")`.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from results.records.record import Record


@dataclasses.dataclass(frozen=True)
class Metric:
    """What is known of one metric.

    Attributes:
        title: its name for people.
        unit: behind the figure; "" for none.
        better: the direction in which it improves; None where neither direction is better.
        format: specification with which the line that reports a cell writes the figure; "" where that line leaves it out.
        low, high: the smallest and the largest value that it can have; None where there is none. The gate believes no other.
        margin: how much worse it may become before the gate calls it regressed; None where the gate does not test it so.
        columns: suites whose run tables in the MLflow UI have a column for it.
    """

    title: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    format: str = ""
    margin: float | None = None
    columns: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def allows(self, value: float) -> bool:
        """Whether a figure can be one of this metric: no nan, and within its range."""
        return (-math.inf if self.low is None else self.low) <= value <= (math.inf if self.high is None else self.high)

    @property
    def range_words(self) -> str:
        """The range for a message: "between 0 and 1", "at least 0"."""
        if self.low is None or self.high is None:
            bounds = [
                word
                for word, end in ((f"at least {self.low}", self.low), (f"at most {self.high}", self.high))
                if end is not None
            ]
            return "".join(bounds) or "a number"
        return f"between {self.low:g} and {self.high:g}"

    @property
    def heading(self) -> str:
        """Title and unit, as they stand above a column: `step ms`."""
        return f"{self.title} {self.unit}".strip()

    @property
    def sign(self) -> float:
        """1 where larger is better, -1 where smaller is; 1 too where neither is, so that differences keep their sign."""
        return -1.0 if self.better == "lower" else 1.0

    @property
    def best(self) -> Callable[..., Any]:
        """`max` or `min`: what picks the best of several figures."""
        return min if self.better == "lower" else max


# By name, in the order in which tables and lines show them. A margin is absolute. Paired differences of an unchanged digits
# student have a standard deviation of up to 0.012 where something only rounds differently. With ten seeds a margin of 0.01
# at 99 % then sees a drop of two margins every second time only; 0.015 at 95 % sees it 98 times in 100, which makes a
# student three points worse a sure find, and its false alarms stay below 1 in 10,000 (`python -m results gate --simulate`).
METRICS: dict[str, Metric] = {
    "test/accuracy": Metric("accuracy", "", "higher", ".4f", margin=0.015, columns=("distill",), low=0, high=1),
    "test/nll": Metric("nll", "", "lower", ".3f", columns=("distill",), low=0),
    "test/ece": Metric("calibration error", "", "lower", low=0, high=1),
    "test/teacher_agreement": Metric("agreement with the teacher", "", "higher", low=0, high=1),
    "test/best_accuracy": Metric("accuracy of the best epoch", "", "higher", low=0, high=1),
    "test/best_epoch": Metric("best epoch"),
    "test/accuracy_corrupted": Metric("accuracy on corrupted images", "", "higher", low=0, high=1),
    "train/loss": Metric("training loss", "", "lower", columns=("distill",)),
    "time/step_ms": Metric("step", "ms", "lower", columns=("distill",), low=0),
    "time/total_s": Metric("total", "s", "lower", low=0),
    "time/compile_s": Metric("compiling", "s", "lower", low=0),
    "agreement/value_error": Metric("value error", "", "lower", ".1e", columns=("agreement",), low=0),
    "agreement/gradient_error": Metric("gradient error", "", "lower", ".1e", columns=("agreement",), low=0),
    "agreement/value_error_random": Metric("value error, random inputs", "", "lower", low=0),
    "agreement/gradient_error_random": Metric("gradient error, random inputs", "", "lower", low=0),
    "loss/forward_ms": Metric("forward", "ms", "lower", ".3g", columns=("loss",), low=0),
    "loss/forward_backward_ms": Metric("forward + backward", "ms", "lower", ".3g", columns=("loss",), low=0),
    "loss/percent_of_copy": Metric("", "% of copy", "higher", ".0f", columns=("loss",), low=0),
    "loss/times_own_kl": Metric("", "× own KL", "lower", low=0),
    "loss/bytes_per_element": Metric("bytes per element", "", "lower", low=0),
    "throughput/images_per_s": Metric("", "images/s", "higher", ".0f", columns=("throughput",), low=0),
    "throughput/times_plain": Metric("", "× plain loop", "higher", ".3f", columns=("throughput",)),
    "throughput/times_loader": Metric("", "× data loader", "higher", ".3f"),
    "throughput/input_times_training": Metric("input alone", "× training", "higher", ".0f", columns=("throughput",)),
    "memory/peak_mb": Metric("peak", "MB", "lower", ".0f", columns=("loss",), low=0),
}


def find(name: str) -> Metric:
    """The row of a metric.

    A figure of a part (`test/rouge_l/vicuna`, `test/accuracy_blur_3`) has direction and unit of the whole, but is neither
    tested by the gate nor in lines and columns. Of a name that no row begins only a title is known.
    """
    if name in METRICS:
        return METRICS[name]
    whole = name
    while whole := whole[: max(whole.rfind("/"), whole.rfind("_"), 0)]:
        if whole in METRICS:
            row, part = METRICS[whole], name[len(whole) + 1 :]
            return dataclasses.replace(row, title=f"{row.title} {part}".strip(), format="", margin=None, columns=())
    kind, _, rest = name.partition("/")
    return Metric(re.sub("[/_]", " ", rest or kind), format=".4g" if kind == "test" else "")


def position(name: str) -> tuple[int, str]:
    """Sorts names of metrics: those of the table in its order, then the others."""
    return list(METRICS).index(name) if name in METRICS else len(METRICS), name


def columns(suite: str) -> list[str]:
    """The metrics that the run table of a suite shows in the MLflow UI."""
    return [name for name, row in METRICS.items() if suite in row.columns]


def margins() -> dict[str, float]:
    """How much worse each metric with a margin may become."""
    return {name: row.margin for name, row in METRICS.items() if row.margin is not None}


def shown(record: Record) -> list[str]:
    """The main figures of a record in words, for the line that reports its cell; of a training only those of its test."""
    lines = []
    for name in sorted(record.metrics, key=position):
        row = find(name)
        if row.format and (record.suite != "distill" or name.startswith("test/")):
            lines.append(f"{row.title} {record.metrics[name]:{row.format}} {row.unit}".strip())
    return lines
