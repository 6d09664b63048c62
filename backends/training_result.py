"""What a training run of any backend returns."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class TrainingResult:
    """Outcome of `train_student`.

    Attributes:
        student: the trained model, the same object that was passed in, in evaluation mode.
        step_losses: float64 `[steps]`, the loss of each step before its update.
        epoch_losses: mean loss of each epoch.
        step_seconds: wall time of each step, synchronised where it is read back; an epoch's steps share their mean.
        compile_seconds: time of the first step beyond that of a later one: tracing, compiling, warming up.
        status: "ok", or "diverged" where the loss was not finite and training stopped.
    """

    student: Any
    step_losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    epoch_losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    compile_seconds: float = 0.0
    status: str = "ok"
