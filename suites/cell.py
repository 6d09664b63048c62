"""A cell: one thing to be measured. Everything that a user can choose about it is in here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# float types that logits can have
DTYPES = ("float64", "float32", "bfloat16", "float16")
# embedded data and minutes, real data and a short schedule, the paper's recipe
SCALES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Cell:
    """One measurement of one backend.

    Attributes:
        suite: "agreement", "loss" or "distill".
        backend: a name in `backends.BACKENDS`.
        pair: "teacher:student", the teacher alone where only a teacher is trained, None where nothing is trained.
        dataset: a name in `suites.datasets.TABLE`, or None.
        method: a name in `backends.common.methods.METHODS`, "teacher", or None.
        options: sorted (name, value) pairs: alpha, beta, temperature, weights; divergence, rows, classes.
        scale: a name in `SCALES`; "trace" for the first steps of a training that are compared between backends.
        seed: of initial weights and batch order, or None.
        dtype: float type of the computation (of the logits in the agreement and loss suites).
        device: the device in use, as the backend names it.
        precision: what convolutions and dense layers compute in, a name in `backends.common.training.loop.PRECISIONS`.
        repeat: 0, or which repetition of the same training with the rows of each batch in another order.
        numbers: sorted (name, value) pairs of the training's numbers that differ from the recipe's; those of the teacher's
            training begin with "teacher." in a student's cell.
    """

    suite: str
    backend: str
    pair: str | None = None
    dataset: str | None = None
    method: str | None = None
    options: tuple[tuple[str, Any], ...] = field(default=())
    scale: str = "smoke"
    seed: int | None = None
    dtype: str = "float32"
    device: str = "cpu"
    precision: str = "float32"
    repeat: int = 0
    numbers: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str, default: Any = None) -> Any:
        """Value of an option, or `default` where the cell does not have it."""
        return dict(self.options).get(name, default)

    def as_dict(self) -> dict[str, Any]:
        """Flat description for a record: the attributes that are set, and the options beside them."""
        names = ("backend", "pair", "dataset", "method", "seed", "scale", "dtype", "device")
        described = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.precision != "float32":  # cells of earlier versions are the same cells
            described["precision"] = self.precision
        if self.repeat:
            described["repeat"] = self.repeat
        numbers = {name: list(value) if isinstance(value, tuple) else value for name, value in self.numbers}
        return described | dict(self.options) | numbers

    @property
    def fields(self) -> frozenset[tuple[str, str]]:
        """What records of the same cell agree in, whatever has computed them."""
        return fields(self.as_dict())

    @property
    def kind(self) -> tuple[Any, ...]:
        """What it shares with cells that take about the same time."""
        return kind(self.as_dict())

    @property
    def data_scale(self) -> str:
        """Scale of its data: what backends are compared on step by step is small."""
        return "smoke" if self.scale == "trace" else self.scale

    @property
    def label(self) -> str:
        """One short line for people, without backend, suite and device."""
        words = [self.group]
        if self.seed is not None and self.method != "teacher":
            words.append(f"seed {self.seed}")
        if self.repeat:
            words.append(f"repeat {self.repeat}")
        if self.scale == "trace" or self.suite != "distill":
            words.append(self.dtype)
        return " ".join(words)

    @property
    def group(self) -> str:
        """The label without seed and dtype: cells that a plan counts together."""
        options = dict(self.options)
        words = ["trace"] if self.scale == "trace" else []
        names = (self.pair, self.method, options.get("divergence"), options.get("implementation"))
        words += [str(name) for name in names if name]
        if "rows" in options:
            words.append(f"{options['rows']}×{options['classes']}")
        if "alpha" in options:
            words.append(f"({options['alpha']:g}, {options['beta']:g})")
        if self.precision != "float32":
            words.append(self.precision)
        words += [f"{name}={number_word(value)}" for name, value in self.numbers]
        return " ".join(words)


def fields(described: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """`Cell.fields` of a cell as a record describes it."""
    return frozenset((name, str(value)) for name, value in described.items() if value is not None)


def kind(described: Mapping[str, Any]) -> tuple[Any, ...]:
    """`Cell.kind` of a cell as a record describes it."""
    names = ("pair", "method", "scale", "dtype", "precision", "divergence", "implementation", "rows", "classes", "epochs")
    return tuple(described.get(name) for name in names)


def options(**values: Any) -> tuple[tuple[str, Any], ...]:
    """Options of a cell in the order that makes equal cells equal; those that are None are left out."""
    return tuple(sorted((name, value) for name, value in values.items() if value is not None))


def number_word(value: Any) -> str:
    """A number of a training as users type it: 0.05, true, cosine, 75/90."""
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
