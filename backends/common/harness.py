"""What a backend's `harness` offers to the suites: NumPy arrays in and out, the same names and arguments in every one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from .networks import ModelSpec
from .training.batches import Batch
from .training.result import TrainingResult


class Call(Protocol):
    """A divergence on arrays that lie on the device, ready to be timed; each method returns when the device is done."""

    def forward(self) -> None:
        """Compute the value, without gradient."""

    def forward_backward(self) -> None:
        """Compute the value and its gradient with respect to the student's logits."""

    def result(self) -> tuple[float, np.ndarray]:
        """Value and gradient of what is timed, as float64."""

    def synchronize(self) -> None:
        """Wait for the device."""


class Harness(Protocol):
    """A backend's module `harness`; tests compare its names and their arguments with these."""

    NAME: str

    # device

    def set_up(self, *, threads: int | None = None, device: str = "auto") -> str:
        """Make results repeatable and choose the device, once per process; return its kind."""

    def describe(self) -> dict[str, str]:
        """Framework, versions, device, threads and the settings that decide results."""

    def peak_memory_bytes(self) -> int | None:
        """Peak of the accelerator's memory; None on a CPU."""

    # losses

    def value_and_gradient(
        self,
        divergence: str,
        student_logits: np.ndarray,
        teacher_logits: np.ndarray,
        parameters: Mapping[str, float],
        *,
        temperature: float = 1.0,
        mask: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        reduction: str = "none",
        dtype: str = "float32",
        teacher_dtype: str | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A divergence and the gradient of the sum of its values, as float64."""

    def objective_and_gradient(
        self,
        student_logits: np.ndarray,
        teacher_logits: np.ndarray,
        labels: np.ndarray,
        *,
        alpha: float,
        beta: float,
        temperature: float = 1.0,
        distill_weight: float = 1.0,
        hard_weight: float = 1.0,
        ignore_index: int = -100,
        reduction: str = "mean",
        shift: bool = False,
        weights: np.ndarray | None = None,
        normalizer: float | None = None,
        dtype: str = "float32",
    ) -> tuple[float | np.ndarray, np.ndarray]:
        """The ABKD loss and the gradient of its sum, as float64."""

    def named_objective_and_gradient(
        self,
        name: str,
        student_logits: np.ndarray,
        teacher_logits: np.ndarray,
        labels: np.ndarray,
        parameters: Mapping[str, Any],
        dtype: str = "float32",
    ) -> tuple[float | np.ndarray, np.ndarray]:
        """An objective by name and the gradient of its sum, as float64; arrays among its parameters are passed as such."""

    def prepare_call(
        self,
        divergence: str,
        student: np.ndarray,
        teacher: np.ndarray,
        parameters: Mapping[str, float],
        *,
        temperature: float = 1.0,
        dtype: str = "float32",
    ) -> Call:
        """Put arrays on the device, ready to be timed."""

    def prepare_copy(self, elements: int) -> Callable[[], None]:
        """Return a function that copies that many float32 numbers on the device and waits."""

    # networks

    def build_model(self, spec: ModelSpec, arrays: Mapping[str, np.ndarray], dtype: str) -> Any:
        """Build a network with the given weights, in PyTorch's names and layouts."""

    def export_weights(self, model: Any) -> dict[str, np.ndarray]:
        """Every parameter and running statistic, in PyTorch's names and layouts."""

    def predict(self, model: Any, inputs: Any, batch_size: int = 512) -> np.ndarray:
        """Logits in evaluation mode, as float64."""

    def training_logits(self, model: Any, inputs: Any) -> np.ndarray:
        """Logits of one batch in training mode, as float64; running statistics move."""

    def train(
        self, teacher: Any, student: Any, batches: Iterable[Batch], *, dtype: str | None = None, **arguments: Any
    ) -> TrainingResult:
        """Train the student, as `train_student`, on batches of NumPy arrays."""


def protocol_names() -> set[str]:
    """The names that a harness has."""
    methods = {name for name, value in vars(Harness).items() if callable(value) and not name.startswith("_")}
    return methods | set(Harness.__annotations__)
