"""What the screen shows while cells run: a bar, and a line for every cell that ends."""

import time
from typing import TextIO

from tqdm import tqdm

from results import metrics
from results.records.record import Record
from suites.plan import PlannedCell, duration

# how often a long cell reports where no bar is drawn
REPORT_SECONDS = 10.0
# how often the bar is drawn anew within a cell
REFRESH_SECONDS = 0.5


class Progress:
    """A bar over the cells on a terminal, and a line for every cell that ends, on a terminal or not.

    Args:
        cells: how many there are.
        output: where lines go.
    """

    def __init__(self, cells: int, output: TextIO) -> None:
        self.cells = cells
        self.output = output
        self.done = 0
        self.label = ""
        self.started = self.reported = time.monotonic()
        self.first: tuple[float, float] | None = None
        form = "{desc} {percentage:3.0f} %|{bar:20}| {n:.1f} of {total:.0f} cells, {elapsed} gone, {remaining} left"
        self.bar = tqdm(total=cells, bar_format=form, leave=False, disable=not (output.isatty() and cells), file=output)

    def begin(self, label: str) -> None:
        """A cell, or several, begin."""
        self.label = label
        self.started = self.reported = time.monotonic()
        self.first = None
        self.bar.set_description_str(self.label)

    def share(self, share: float) -> None:
        """A share, 0 to 1, of the present cell is done; may be called as often as one likes."""
        now = time.monotonic()
        # a cell that goes on where it was killed begins with what it had; only what is done from there on tells the pace
        self.first = self.first or (now, share)
        if now - self.reported < (REPORT_SECONDS if self.bar.disable else REFRESH_SECONDS):
            return
        self.reported = now
        line = f"{self.label}: {share:.0%} done"
        done = share - self.first[1]
        if done > 0:
            line += f", about {duration((now - self.first[0]) / done * (1 - share))} left of this cell"
        if self.bar.disable:
            self._line(line)
            return
        self.bar.n = self.done + min(share, 1.0)
        self.bar.set_description_str(line)

    def note(self, text: str) -> None:
        """A line of its own."""
        self._line(text)

    def finish(self, planned: PlannedCell, record: Record, remark: str = "") -> None:
        """A cell has its record; `remark` is said beside it."""
        self.done += 1
        seconds = record.metrics.get("time/total_s", time.monotonic() - self.started)
        parts = [
            f"[{self.done:>{len(str(self.cells))}}/{self.cells}]",
            f"{planned.suite.name} {planned.label}:",
            record.status,
            *metrics.shown(record),
            *filter(None, [remark]),
        ]
        self._line(" ".join([*parts, f"({seconds:.1f} s)"]))
        if record.message:
            self._line(f"    {record.message}")
        for row in record.details.get("worst", []) if record.status == "failed" else []:
            if row["excess"] > 1:
                self._line("    " + ", ".join(f"{name} {_short(value)}" for name, value in row.items() if name != "excess"))
        self.bar.n = self.done
        self.bar.refresh()

    def close(self) -> None:
        """Take the bar off the screen."""
        self.bar.close()

    def _line(self, text: str) -> None:
        self.bar.write(text, file=self.output)
        self.output.flush()


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return "[" + ", ".join(_short(item) for item in value) + "]" if isinstance(value, list) else str(value)
