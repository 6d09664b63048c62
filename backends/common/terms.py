"""How the loss of a method and a batch meet: its parts, its labels, and what a term asks for by its arguments' names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any


@dataclass(frozen=True)
class TermSignature:
    """What a term's function has arguments for, beside what it takes of both networks and its numbers.

    Attributes:
        parts: those of "inputs", "targets" and "labels" that it has.
        masked: whether it has a mask of the rows that count. One that sees the labels leaves rows out by itself.
    """

    parts: tuple[str, ...]
    masked: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "TermSignature":
        """Read a function's arguments."""
        accepted = signature(function).parameters
        parts = tuple(name for name in ("inputs", "targets", "labels") if name in accepted)
        further = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        return cls(parts, "mask" in accepted or (further and not parts))

    @property
    def leaves_rows_out(self) -> bool:
        """Whether the function itself looks after the rows that do not count."""
        return self.masked or "labels" in self.parts or "targets" in self.parts

    def arguments(self, batch: Sequence[Any], mask: Any) -> dict[str, Any]:
        """The arguments for a pair (inputs, targets)."""
        inputs, targets = batch
        at_hand = {"inputs": inputs, "targets": targets, "labels": labels_of(targets)}
        named = {name: at_hand[name] for name in self.parts}
        return {**named, "mask": mask} if self.masked else named


def labels_of(targets: Any) -> Any:
    """The labels among a batch's targets: these themselves, or what they hold under "labels"."""
    return targets["labels"] if isinstance(targets, Mapping) else targets


def check_parts(objective: Any, batch: Sequence[Any]) -> None:
    """Check that a batch has a part beside where the method needs one, and none where it has no use for it.

    Args:
        objective: has `method`, a name, and `beside`, what the part beside adds or None.
        batch: of two or three parts.
    """
    if (len(batch) == 3) != (objective.beside is not None):
        needs = "has no use for a part beside"
        if objective.beside is not None:
            needs = f"needs a part beside, (inputs, labels) for {objective.beside.method!r}"
        raise ValueError(f"a batch has {len(batch)} parts, but method {objective.method!r} {needs}")
