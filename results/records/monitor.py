"""How busy the machine was while a cell ran: a sample every few seconds, under MLflow's names for system metrics."""

import threading
import time
from types import TracebackType
from typing import Self

from results.records.environment import cards

_SECONDS = 5.0
# A cell of many hours keeps this many samples at most: then every second one goes, and samples become rarer.
_MOST = 240

_PREFIX = "system/"
_GPU = {
    "utilization.gpu": "utilization_percentage",
    "memory.used": "memory_usage_megabytes",
    "power.draw": "power_usage_watts",
    "clocks.sm": "clock_megahertz",
}


class Monitor:
    """Samples processor, memory and cards in a thread of its own, from entering to leaving the `with` block.

    Args:
        seconds: between samples; the last one is taken at the end, so that short cells have one as well.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._rows: list[dict[str, float]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)

    def __enter__(self) -> Self:
        import psutil

        self._started = time.monotonic()
        self._process = psutil.Process()
        psutil.cpu_percent()  # the first call starts the clock that the next one reads
        self._process.cpu_percent()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def samples(self) -> dict[str, list[float]]:
        """`seconds` since the start, and for each name in MLflow (`system/…`) a value for each of them."""
        names = dict.fromkeys(name for row in self._rows for name in row)
        return {name: [row[name] for row in self._rows if name in row] for name in names}

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self._sample()
            if len(self._rows) > _MOST:
                self._rows, self._seconds = self._rows[1::2], 2 * self._seconds
        self._sample()

    def _sample(self) -> None:
        import psutil

        memory = psutil.virtual_memory()
        row = {
            "seconds": round(time.monotonic() - self._started, 2),
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": round((memory.total - memory.available) / 1e6, 1),
            "system_memory_usage_percentage": memory.percent,
            "process_cpu_percentage": self._process.cpu_percent(),
            "process_memory_megabytes": round(self._process.memory_info().rss / 1e6, 1),
        }
        for number, card in enumerate(cards(tuple(_GPU))):
            for field, name in _GPU.items():
                if card[field].replace(".", "", 1).isdigit():  # not "[N/A]"
                    row[f"gpu_{number}_{name}"] = float(card[field])
        self._rows.append({name if name == "seconds" else _PREFIX + name: value for name, value in row.items()})
