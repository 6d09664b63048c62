"""What a suite is, what it is given while it runs, and what it hands back for each cell."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from suites import keys
from suites.cell import Cell

if TYPE_CHECKING:
    from results.records.record import Record
    from results.records.store import Store
    from suites.selection import Selection

# (epochs that a training has done, its task's judging metric, larger being better) → whether it ends there as pruned
Stop = Callable[[int, float], bool]
# called with the share of a long cell, 0 to 1, that is done
Report = Callable[[float], None]


def never(epochs: int, score: float) -> bool:
    """A `Stop` that lets every training finish."""
    return False


def silent(share: float) -> None:
    """A `Report` that nobody reads."""


@dataclass
class Outcome:
    """Result of one cell: the parts of a record that a suite decides.

    `files` are functions that write a file which is to be kept beside the record, by its name without suffix.
    """

    status: str = "ok"
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)


class CellStopped(Exception):
    """A cell cannot end as ok; carries the status that its record gets.

    Args:
        status: one of `results.records.STATUSES`.
        message: one line for the record and the screen.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Teachers:
    """Trained teachers that cells of one command learn from, each loaded once, by the key of its record.

    Attributes:
        models: the networks, as the backend has them.
        test_logits: what they say of the test examples `[examples, classes]`.
    """

    models: dict[str, Any] = field(default_factory=dict)
    test_logits: dict[str, np.ndarray] = field(default_factory=dict)

    def forget(self, key: str) -> None:
        """A teacher has been trained anew."""
        self.models.pop(key, None)
        self.test_logits.pop(key, None)


@dataclass(frozen=True)
class Context:
    """What all cells of one command share.

    Attributes:
        backend: name of the backend.
        harness: its harness module, set up.
        store: where records and weights go.
        device: the device in use, as the backend names it.
        workers: processes that cells which need no quiet machine may use.
        threads: threads of this process and of each of those; None takes all cores.
        loss_threads: threads of the processes that time the loss; None takes all cores.
        description: the backend's `describe`.
        environment: hardware and library versions.
        teacher_weights: file that the user gave for the teacher.
        accept_other_code: whether records of the same cell, recipe and data count though other code has computed them.
        keep_students: whether the weights of a finished student are kept.
        redo: whether cells that are finished are run again.
        teachers: those that have been loaded.
        take: gives of planned cells those, one by one, that no other command on the same store runs or has finished.
        trainings: what has been looked up for cells of the suite "distill" (`suites.distill.cells.resolve`).
    """

    backend: str
    harness: ModuleType
    store: "Store"
    device: str
    workers: int = 1
    threads: int | None = None
    loss_threads: int | None = None
    description: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    teacher_weights: str | None = None
    accept_other_code: bool = False
    keep_students: bool = False
    redo: bool = False
    teachers: Teachers = field(default_factory=Teachers)
    take: Callable[[Iterable[Any]], Iterable[Any]] = iter
    trainings: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """One kind of measurement.

    Attributes:
        name: what users type; also the folder of its records and the MLflow experiment.
        cells: the cells of a selection, in the order in which they run.
        recipe: whatever else that is data decides a cell's result.
        code: digests of the files that compute a cell's result, by `suites.sources.code`.
        run: (cell, context, stop, report) → the outcome; an exception makes the record "failed", a `CellStopped` gives its
            own status.
        guess_seconds: time that a cell takes on two cores, for the estimate where no record has it.
        refusal: (status, reason) where a cell cannot run, None where it can.
        side_by_side: whether cells may run in several processes at once, since no time of theirs is compared.
        timed: whether the cell is measured again when hardware or library versions have changed.
        has_products: whether what a finished cell left beside its record is still there.
        begun: (cell, key, context) → words on what an interrupted run of the cell has left, empty where it left nothing.
        adopt: (record, key, context) → makes what the cell of an accepted record left count as that of `key`.
        needs: key of the cell that has to be finished before, None where there is none.
        clean_up: (key, context) → takes away what an unfinished cell would have gone on from.
    """

    name: str
    cells: Callable[["Selection", Context], list[Cell]]
    recipe: Callable[[Cell, Context], dict[str, Any]]
    code: Callable[[Cell], Mapping[str, str]]
    run: Callable[[Cell, Context, Stop, Report], Outcome]
    guess_seconds: Callable[[Cell], float]
    refusal: Callable[[Cell, Context], tuple[str, str] | None] = lambda cell, context: None
    side_by_side: bool = False
    timed: bool = False
    has_products: Callable[["Record", Context], bool] = lambda record, context: True
    begun: Callable[[Cell, str, Context], str] = lambda cell, key, context: ""
    adopt: Callable[["Record", str, Context], None] = lambda record, key, context: None
    needs: Callable[[Cell, Context], str | None] = lambda cell, context: None
    clean_up: Callable[[str, Context], None] = lambda key, context: None

    def decided(self, cell: Cell, context: Context) -> keys.Decided:
        """What decides the cell's result."""
        return keys.Decided.by(cell, self.recipe(cell, context), self.code(cell), context.description)

    def key(self, cell: Cell, context: Context) -> str:
        """The cell's result key."""
        return self.decided(cell, context).key
