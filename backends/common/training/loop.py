"""The training loop that the three backends share: epochs, progress, losses, checkpoints. It imports no framework.

A backend brings a `Run`, whose `step` starts one update and returns at once. Losses are read back in windows of
`WINDOW` steps, which keeps an accelerator busy and still notices a loss that is not finite soon.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from ..methods import METHODS, Objective
from . import checkpoints
from .batches import Batch, LiveBatches, batches_per_epoch, check_batches, epoch_batches, knows_epochs, live_batches
from .result import TrainingResult
from .schedules import Schedule

# steps between two looks at the losses
WINDOW = 50
IGNORED_LABEL = -100
_LIVE = "batches/"  # before the names of a source's arrays in a checkpoint
PRECISIONS = ("float32", "bfloat16")


class Run(Protocol):
    """One training's state in a framework's own arrays."""

    def compiles(self, batch: Batch) -> bool:
        """Whether a step on this batch would trace or compile first."""

    def step(self, batch: Batch, learning_rate: float | None, factor: float) -> Any:
        """Update the student on a batch, the distillation term times `factor`; the loss before it, still on its way."""

    def read(self, losses: list[Any]) -> list[float]:
        """Wait for losses."""

    def begin(self) -> None:
        """Put the student into training mode: a step comes next."""

    def settle(self) -> None:
        """Bring the caller's student up to date, in evaluation mode; possible after any step."""

    def export(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All state as arrays and plain data."""

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        """Take over what `export` gave."""

    def settings(self) -> dict[str, Any]:
        """What decides the result and only the backend knows: optimizer, teacher, types."""

    def surroundings(self) -> dict[str, str]:
        """Threads, device, versions: what decides the last digits."""


class StopTraining(Exception):
    """Raised by `on_epoch` to end a training after that epoch; its result has the status "stopped".

    Args:
        metrics: what `on_epoch` would have returned.
    """

    def __init__(self, metrics: Mapping[str, Any] | None = None) -> None:
        super().__init__("the training was stopped after an epoch")
        self.metrics = metrics


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a training is to do, in the words of `train_student`.

    Attributes:
        objective: the method with its numbers.
        batches: iterable of batches, see `batches`.
        rate: learning rate of each step, None where the optimizer has its own.
        ask: how live batches ask the student, who is up to date by then.
        epochs: passes over the batches.
        progress: whether to show a bar.
        on_epoch: called after each epoch; ends the training by raising `StopTraining`.
        checkpoint: where to keep the training's state; None for nowhere.
        checkpoint_every: epochs between two checkpoints.
        checkpoint_steps: steps between two further ones within an epoch.
        fingerprint: the caller's digest of all that `train_student` cannot see, such as data and seed.
    """

    objective: Objective
    batches: Iterable[Any]
    rate: Schedule | None
    ask: Callable[..., Any]
    epochs: int = 1
    progress: bool = True
    on_epoch: Callable[[int, Any, float], Mapping[str, Any] | None] | None = None
    checkpoint: str | Path | None = None
    checkpoint_every: int = 1
    checkpoint_steps: int | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        check_batches(self.batches, self.epochs)
        for name in ("checkpoint_every", "checkpoint_steps"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise ValueError(f"{name}={number!r} is not allowed; a whole number of at least 1 is")
        if self.checkpoint_steps is not None and not knows_epochs(self.batches):
            raise ValueError(
                f"checkpoint_steps={self.checkpoint_steps!r}: batches is a {type(self.batches).__name__}, which cannot "
                "go on within an epoch; give it a method epoch(epoch, start), or leave checkpoint_steps out"
            )


def check_teacher(objective: Objective, teacher: Any) -> Any:
    """The teacher where the method uses it, else None; ValueError where it is missing."""
    if objective.needs_teacher and teacher is None:
        without = " and ".join(repr(method.name) for method in METHODS.values() if not method.needs_teacher)
        raise ValueError(f"teacher=None, but method {objective.method!r} needs one; {without} does without")
    return teacher if objective.needs_teacher else None


def check_precision(precision: str) -> str:
    """Return `precision`, or raise a ValueError that lists the known ones."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    return precision


def check_dtype(dtype: str | None, parameters: str) -> None:
    """ValueError where a training is asked for in another type than that of the student's parameters."""
    if dtype not in (None, parameters):
        raise ValueError(
            f"dtype={dtype!r}, but the student's parameters are {parameters}; build it in {dtype}, or leave dtype out"
        )


def train(run: Run, student: Any, plan: Plan) -> TrainingResult:
    """Train to the end, from the plan's checkpoint where there is one.

    Raises:
        ValueError: batches without a single one, labels that the method cannot leave out, a checkpoint that is damaged
            or belongs to another training.
    """
    state = _Progress(TrainingResult(student), live_batches(plan.batches))
    path = None if plan.checkpoint is None else Path(plan.checkpoint)
    steps_per_epoch = batches_per_epoch(plan.batches)
    settings = _settings(run, plan, steps_per_epoch) if path else {}
    if state.live is not None:
        state.live.begin(_asking(run, plan, state))
    if path is not None:
        state.resume(run, path, settings)
    total = None if steps_per_epoch is None else steps_per_epoch * plan.epochs
    with tqdm(
        total=total, initial=state.step, desc=plan.objective.method, unit="step", disable=not plan.progress, leave=False
    ) as bar:
        try:
            while state.epoch < plan.epochs and state.result.status == "ok":
                _epoch(run, plan, state, bar, path, settings)
        finally:
            run.settle()  # whatever stops it, the caller's student is as far as training came
    return state.finish()


def _asking(run: Run, plan: Plan, state: "_Progress") -> Callable[..., Any]:
    """What live batches are given: `plan.ask` of the student as the last step has left it, settled once a step."""

    def ask(*arguments: Any, **named: Any) -> Any:
        state.settle(run)
        return plan.ask(*arguments, **named)

    return ask


def _epoch(run: Run, plan: Plan, state: "_Progress", bar: tqdm, path: Path | None, settings: dict[str, Any]) -> None:
    """Train the rest of an epoch, report it and keep a checkpoint where one is due."""
    factor, window = plan.objective.factor(state.epoch), _Window(run, state, bar)
    steps_per_epoch = batches_per_epoch(plan.batches)
    for batch in epoch_batches(plan.batches, state.epoch, state.step - state.epoch_start):
        if plan.objective.every_row:
            _check_labels(plan.objective, batch[1])
        rate = None if plan.rate is None else plan.rate(state.step + window.waiting, state.epoch, steps_per_epoch)
        if not window.add(batch, rate, factor):
            break
        if path and plan.checkpoint_steps and (state.step + window.waiting) % plan.checkpoint_steps == 0:
            if not window.close():
                break
            state.save(run, path, settings)
    window.close()
    losses = state.losses[state.epoch_start :]
    if not losses:
        raise ValueError("batches is empty; at least one (inputs, labels) pair is needed")
    mean = math.fsum(losses) / len(losses)
    state.result.epoch_losses.append(mean)
    bar.set_postfix(epoch=f"{state.epoch + 1}/{plan.epochs}", loss=f"{mean:.4g}")
    state.settle(run)
    if state.result.status == "diverged":
        return
    try:
        metrics = None if plan.on_epoch is None else plan.on_epoch(state.epoch, state.result.student, mean)
    except StopTraining as stop:
        metrics, state.result.status = stop.metrics, "stopped"
    state.result.epoch_metrics.append(None if metrics is None else dict(metrics))
    if state.live is not None:
        state.live.after_epoch({"train/loss": mean, **(metrics or {})})
    state.epoch, state.epoch_start = state.epoch + 1, state.step
    if path and (state.epoch % plan.checkpoint_every == 0 or state.epoch == plan.epochs):
        state.save(run, path, settings)


def _check_labels(objective: Objective, labels: Any) -> None:
    if (np.asarray(labels) == IGNORED_LABEL).any():
        raise ValueError(
            f"labels holds {IGNORED_LABEL}, which leaves a row out, but method {objective.method!r} compares the rows of "
            "a batch with each other and needs all of them; leave such rows out of the batches"
        )


def _settings(run: Run, plan: Plan, batches: int | None) -> dict[str, Any]:
    """All that a resumed training must share with the one that it goes on from."""
    objective = plan.objective
    return {
        "method": objective.method,
        "parameters": dict(objective.parameters),
        "distill_weight": objective.distill_weight,
        "hard_weight": objective.hard_weight,
        "warm_up_epochs": objective.warm_up_epochs,
        "epochs": plan.epochs,
        "batches": batches,
        "beside": None if objective.beside is None else [objective.beside.method, objective.beside_weight],
        "learning_rate": checkpoints.rate_samples(plan.rate, plan.epochs, batches),
        "live": live_batches(plan.batches) is not None or None,
        "fingerprint": plan.fingerprint,
        **run.settings(),
    }


@dataclass
class _Progress:
    """How far a training is.

    Attributes:
        epoch_start: the first step of the current epoch.
        settled: whether the caller's student is as the last step left it, and in evaluation mode; None before any.
    """

    result: TrainingResult
    live: LiveBatches | None = None
    losses: list[float] = field(default_factory=list)
    epoch: int = 0
    epoch_start: int = 0
    first_seconds: list[float] = field(default_factory=list)
    settled: bool | None = None

    @property
    def step(self) -> int:
        return len(self.losses)

    def settle(self, run: Run) -> None:
        """Bring the student up to date, unless no step was made since."""
        if not self.settled:
            run.settle()
            self.settled = True

    def begin(self, run: Run) -> None:
        """Let a step come next."""
        if self.settled is not False:
            run.begin()
            self.settled = False

    def resume(self, run: Run, path: Path, settings: dict[str, Any]) -> None:
        """Go on from the checkpoint at `path`, if there is one."""
        checkpoint = checkpoints.read(path)
        if checkpoint is None:
            return
        checkpoints.check(path, checkpoint, settings, run.surroundings())
        arrays, state = dict(checkpoint.arrays), checkpoint.state
        self.losses = arrays.pop("step_losses").tolist()
        self.result.step_seconds = arrays.pop("step_seconds").tolist()
        self.result.epoch_losses, self.result.epoch_metrics = state["epoch_losses"], state["epoch_metrics"]
        self.epoch, self.epoch_start, self.result.resumed_at = state["epoch"], state["epoch_start"], self.step
        if self.live is not None:
            kept = {name.removeprefix(_LIVE): arrays.pop(name) for name in list(arrays) if name.startswith(_LIVE)}
            self.live.restore(kept, state["batches"])
        run.restore(arrays, state["run"])

    def save(self, run: Run, path: Path, settings: dict[str, Any]) -> None:
        """Write the checkpoint."""
        arrays, plain = run.export()
        arrays |= {"step_losses": np.array(self.losses), "step_seconds": np.array(self.result.step_seconds)}
        state = {
            "epoch": self.epoch,
            "epoch_start": self.epoch_start,
            "epoch_losses": self.result.epoch_losses,
            "epoch_metrics": self.result.epoch_metrics,
            "run": plain,
        }
        if self.live is not None:
            kept, state["batches"] = self.live.state()
            arrays |= {f"{_LIVE}{name}": array for name, array in kept.items()}
        checkpoints.write(path, checkpoints.Checkpoint(arrays, state, settings, run.surroundings()))

    def finish(self) -> TrainingResult:
        """The result, with what first steps took beyond later ones."""
        result = self.result
        result.step_losses = np.asarray(self.losses)
        known = [seconds for seconds in result.step_seconds if not math.isnan(seconds)]
        usual = float(np.median(known or self.first_seconds or [math.nan]))
        result.step_seconds = [usual if math.isnan(seconds) else seconds for seconds in result.step_seconds]
        result.compile_seconds = sum(max(0.0, seconds - usual) for seconds in self.first_seconds)
        return result


class _Window:
    """Steps whose losses have not been read back yet."""

    def __init__(self, run: Run, state: _Progress, bar: tqdm) -> None:
        self._run, self._state, self._bar = run, state, bar
        self._pending: list[Any] = []
        self._started = time.perf_counter()

    @property
    def waiting(self) -> int:
        """Number of such steps."""
        return len(self._pending)

    def add(self, batch: Batch, rate: float | None, factor: float) -> bool:
        """Make a step; False where a loss that was read back is not finite. Steps that compile are timed alone."""
        first = self._run.compiles(batch)
        if first and not self.close():
            return False
        self._state.begin(self._run)
        self._pending.append(self._run.step(batch, rate, factor))
        self._bar.update()
        return self.close(first) if first or len(self._pending) >= WINDOW else True

    def close(self, first: bool = False) -> bool:
        """Read the losses back; False, and the state marked as diverged, where one is not finite."""
        if not self._pending:
            return True
        losses, state = self._run.read(self._pending), self._state
        seconds = (time.perf_counter() - self._started) / len(losses)
        finite = np.isfinite(losses)
        if not finite.all():
            losses = losses[: int(np.argmin(finite)) + 1]
            state.result.status, state.result.diverged_at = "diverged", state.step + len(losses) - 1
        state.losses += losses
        if first:
            state.first_seconds.append(seconds)
        # how long a first step would have taken without compiling is told by later ones: `_Progress.finish`
        state.result.step_seconds += [math.nan if first else seconds] * len(losses)
        self._bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
        self._pending, self._started = [], time.perf_counter()
        return bool(finite.all())
