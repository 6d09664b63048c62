"""How far the value of α travels: few files of the backends hold it while a training step runs."""

from collections.abc import Iterator

import numpy as np
from alpha_trace import ROOT, Trace

from backends.common import networks

ALPHA = 0.7315


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
    spec = networks.get("convnet-4", input_shape=(8, 8, 1), classes=10)
    teacher, student = (backend.build_model(spec, networks.initial_weights(spec, s), "float32") for s in (1, 2))
    trace = Trace(ALPHA, ROOT / "backends", fields=4, direct=False)
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
    assert 0 < len(trace.files) <= 8, trace.files
