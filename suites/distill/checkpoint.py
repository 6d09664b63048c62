"""Where a training that was killed finds what it needs to go on, until its cell's record is written.

Beside each checkpoint lies a note of its cell and of the conditions that decide a result's last digits (device, threads,
determinism). They are part of a cell's key, so under other conditions a cell starts from the beginning; the plan says so.
"""

import json
from pathlib import Path
from typing import Any

from backends.common.training.checkpoints import differences
from results import atomic
from suites import keys
from suites.cell import Cell
from suites.distill.cells import Training
from suites.suite import Context


def path_of(key: str, context: Context) -> Path:
    """Checkpoint of the cell with this key."""
    return context.store.path / "checkpoints" / f"{key}.safetensors"


def arguments(training: Training, context: Context) -> dict[str, Any]:
    """For `train_student`: a checkpoint after each epoch; none at the scale "smoke", whose trainings take seconds."""
    if training.cell.scale == "smoke":
        return {}
    path = path_of(training.key, context)
    atomic.write(_note_of(path), json.dumps(_note(training.cell, context)))
    return {"checkpoint": path, "fingerprint": training.key}


def begun(cell: Cell, key: str, context: Context) -> str:
    """What an interrupted training of the cell has left, and whether it is used; empty where there is nothing."""
    checkpoint = path_of(key, context)
    if checkpoint.is_file():
        return "goes on from its checkpoint"
    for path in sorted(checkpoint.parent.glob("*.json")):
        now, then = json.loads(json.dumps(_note(cell, context))), _read(path)
        if then.get("cell") == now["cell"] and path.with_suffix(checkpoint.suffix).is_file():
            different = differences(then["conditions"], now["conditions"]) or "code, recipe or data have changed"
            return (
                f"starts from the beginning; an interrupted training of it was made under other conditions ({different}) "
                "and goes on only under those"
            )
    return ""


def remove(key: str, context: Context) -> None:
    """Delete the checkpoint of a cell whose record is written."""
    path = path_of(key, context)
    path.unlink(missing_ok=True)
    _note_of(path).unlink(missing_ok=True)


def _read(note: Path) -> dict[str, Any]:
    """What a note says; nothing where it is none."""
    try:
        read = json.loads(note.read_text(encoding="utf-8"))
        return read if isinstance(read["conditions"], dict) else {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return {}


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _note(cell: Cell, context: Context) -> dict[str, dict[str, Any]]:
    """The cell but for its device, and the conditions."""
    described = cell.as_dict()
    conditions = {"device": described.pop("device")} | keys.decisive_settings(context.description)
    return {"cell": described, "conditions": conditions}
