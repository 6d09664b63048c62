"""Where a training that was killed finds what it needs to go on, until its cell's record is written."""

from pathlib import Path
from typing import Any

from suites.suite import Context


def path_of(key: str, context: Context) -> Path:
    """Checkpoint of the cell with this key."""
    return context.store.path / "checkpoints" / f"{key}.safetensors"


def arguments(key: str, scale: str, context: Context) -> dict[str, Any]:
    """For `train_student`: a checkpoint after each epoch; none at the scale "smoke", whose trainings take seconds."""
    if scale == "smoke":
        return {}
    path = path_of(key, context)
    path.parent.mkdir(parents=True, exist_ok=True)
    return {"checkpoint": path, "fingerprint": key}


def remove(key: str, context: Context) -> None:
    """Delete the checkpoint of a cell whose record is written."""
    path_of(key, context).unlink(missing_ok=True)
