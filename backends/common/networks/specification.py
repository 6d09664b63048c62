"""What a network is as plain data: its specification, its parameters with their layouts, and what a family of networks tells.

Names and layouts are PyTorch's (convolution `[out, in, height, width]`, linear `[out, in]`, embedding `[entries, width]`),
so that published weights load by name; each backend's `models.weights` translates by a parameter's layout.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ModelSpec:
    """One network; families add what else they need to know.

    Attributes:
        name: the canonical spelling, e.g. "resnet56".
        family: a key of `networks.FAMILIES`, and of `BUILDERS` in each backend that can build it.
        frozen: patterns (as of `fnmatch`) of parameters and running statistics that training leaves as they were loaded.
    """

    name: str
    family: str
    frozen: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def description(self) -> str:
        """The network in the words of an error message."""
        return self.name


@dataclass(frozen=True)
class Parameter:
    """One array of a model.

    Attributes:
        shape: in PyTorch's layout.
        initial: distribution of its initial values: N(0, scale²), uniform within ±scale, or scale itself.
        scale: see `initial`.
        trained: False for running statistics.
        layout: what its axes mean, which decides how a framework stores it; "plain" arrays are the same everywhere.
    """

    shape: tuple[int, ...]
    initial: Literal["normal", "uniform", "constant"]
    scale: float
    trained: bool = True
    layout: Literal["convolution", "linear", "embedding", "plain"] = "plain"


Parameters = Iterator[tuple[str, Parameter]]


@dataclass(frozen=True)
class Family:
    """Networks that one builder of each backend makes.

    Attributes:
        read: (a name in lower case with `-` for `_`, facts of the data set) → the network, None where the name is of
            another family; ValueError where it is of this one and cannot be built.
        parameters: every array of a network by its PyTorch name, in the order of its layers.
        spelling: names that `read` knows, for error messages.
        one_stream: whether initial weights are drawn one after the other from a single random stream, instead of from
            one that depends on the array's name alone.
    """

    read: Callable[[str, Mapping[str, Any]], ModelSpec | None]
    parameters: Callable[[Any], Parameters]
    spelling: str
    one_stream: bool = False
