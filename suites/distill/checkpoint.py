"""What a training that was killed needs to go on: the backend's checkpoint, and the curves measured so far."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

from suites.suite import Context

CURVES = ("train/loss", "test/accuracy", "test/nll")


class Checkpoint:
    """Checkpoint of one cell, in the store's folder `checkpoints` until the cell's record is written.

    Args:
        folder: where it lies; None for trainings so short that they start anew.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.curves: dict[str, list[float]] = {name: [] for name in CURVES}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if self._curves_path.is_file():
                self.curves = json.loads(self._curves_path.read_text())

    @property
    def _curves_path(self) -> Path:
        return self.folder / "curves.json"

    @property
    def arguments(self) -> dict[str, Any]:
        """For `train_student`: a checkpoint after each epoch."""
        return {} if self.folder is None else {"checkpoint": self.folder / "training.safetensors"}

    def add(self, epoch: int, measured: dict[str, float]) -> None:
        """Take down what was measured after an epoch, counted from 0; what a former run measured after it is dropped."""
        for name, curve in self.curves.items():
            del curve[epoch:]
            curve += [math.nan] * (epoch - len(curve)) + [measured[name]]
        if self.folder is not None:
            temporary = self._curves_path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self.curves))
            os.replace(temporary, self._curves_path)


def folder_of(key: str, context: Context) -> Path:
    """Folder of a cell's checkpoint."""
    return context.store.path / "checkpoints" / key


def remove(key: str, context: Context) -> None:
    """Delete the checkpoint of a cell whose record is written."""
    shutil.rmtree(folder_of(key, context), ignore_errors=True)
