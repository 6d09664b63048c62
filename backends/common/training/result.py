"""What a training run of any backend returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class TrainingResult:
    """Outcome of `train_student`.

    Attributes:
        student: the trained model, the same object that was passed in, in evaluation mode.
        step_losses: float64 `[steps]`, the loss of each step before its update; of a resumed run from its first start.
            The last one is the only one that may not be finite.
        epoch_losses: mean loss of each epoch.
        epoch_metrics: what `on_epoch` returned, epoch by epoch.
        step_seconds: wall time of each step; steps between two looks at the losses share their mean.
        compile_seconds: time of first steps beyond that of later ones: tracing, compiling, warming up.
        status: "ok", "diverged" where a loss was not finite and training stopped, "stopped" where `on_epoch` asked for it.
        diverged_at: number of that step from 0, else None.
        resumed_at: steps that a checkpoint brought along; 0 where training started anew.
    """

    student: Any
    step_losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    epoch_losses: list[float] = field(default_factory=list)
    epoch_metrics: list[Mapping[str, Any] | None] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    compile_seconds: float = 0.0
    status: str = "ok"
    diverged_at: int | None = None
    resumed_at: int = 0
