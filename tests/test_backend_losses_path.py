"""How far the value of α travels: few files of the backends hold it while a training step runs."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import backends
from backends.common.networks import convolutional

FOLDER = str(Path(backends.__file__).parent)
ALPHA = 0.7315


class Trace:
    """Files of the backends in whose frames a number occurs, as an argument or a local, while the trace is on."""

    def __init__(self, number: float) -> None:
        self._number = number
        self.files: set[str] = set()

    def start(self) -> None:
        sys.setprofile(self._look)

    def stop(self) -> None:
        sys.setprofile(None)

    def _look(self, frame: Any, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event in ("call", "return") and file.startswith(FOLDER) and file not in self.files:
            if any(self._holds(value, 4) for value in frame.f_locals.values()):
                self.files.add(file)

    def _holds(self, value: Any, depth: int) -> bool:
        if isinstance(value, float):
            return abs(value - self._number) < 1e-12
        if isinstance(value, dict):
            return depth > 0 and any(self._holds(x, depth - 1) for x in value.values())
        if isinstance(value, (tuple, list)):
            return depth > 0 and any(self._holds(x, depth - 1) for x in value[:64])
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return depth > 0 and any(self._holds(getattr(value, f.name, None), depth - 1) for f in dataclasses.fields(value))
        return False


class TracedBatches:
    """Three batches, the trace on from when the first is handed out until the second is asked for."""

    def __init__(self, trace: Trace) -> None:
        self._trace, self._random = trace, np.random.RandomState(0)

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(3):
            self._trace.stop()
            batch = self._random.standard_normal((4, 8, 8, 1)).astype(np.float32), self._random.randint(0, 10, 4)
            if step == 0:
                self._trace.start()
            yield batch
        self._trace.stop()


def test_the_value_of_alpha_enters_at_most_eight_files_within_a_training_step(backend):
    spec = convolutional.get("convnet-4", input_shape=(8, 8, 1), classes=10)
    teacher, student = (backend.build_model(spec, convolutional.initial_weights(spec, s), "float32") for s in (1, 2))
    trace = Trace(ALPHA)
    try:
        backend.train(
            teacher,
            student,
            TracedBatches(trace),
            method="abkd",
            alpha=ALPHA,
            beta=0.25,
            epochs=1,
            learning_rate=0.1,
            progress=False,
        )
    finally:
        trace.stop()
    files = sorted(Path(file).relative_to(FOLDER).as_posix() for file in trace.files)
    assert len(files) <= 8, files
