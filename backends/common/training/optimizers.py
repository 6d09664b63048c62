"""Optimisers as data: what they compute is here, how in each backend's `training.optimizers`.

The learning rate is not among the numbers: it comes with each step.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..arguments import check_not_negative, check_number, check_positive


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with PyTorch's meaning: coupled weight decay, no dampening.

    g ← gradient + weight_decay · p;  buffer ← momentum · buffer + g;  p ← p − learning_rate · step,
    where step is the buffer, or g + momentum · buffer with Nesterov's momentum.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_number("momentum", self.momentum)
        check_number("weight_decay", self.weight_decay)
        if self.nesterov and self.momentum <= 0:
            raise ValueError(f"momentum={self.momentum!r} is not allowed with nesterov=True; it must be greater than 0")


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), with PyTorch's meaning.

    p ← p − learning_rate · weight_decay · p;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;
    p ← p − learning_rate · m̂ / (√v̂ + epsilon),  m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ) in step t = 1, 2, …

    Args:
        betas: β₁ and β₂, 0 ≤ β < 1.
        epsilon: added outside of the bias correction. (Keras' own is within it.)
        weight_decay: of parameters that `exclude` leaves.
        exclude: patterns (as of `fnmatch`) of the names of parameters without weight decay, e.g. ("*.bias", "*.ln_*").
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_positive("epsilon", self.epsilon)
        check_not_negative("weight_decay", self.weight_decay)
        for beta in self.betas:
            if not 0 <= check_number("betas", beta) < 1:
                raise ValueError(f"betas={self.betas!r} is not allowed; both must be at least 0 and less than 1")

    def decays(self, names: Iterable[str]) -> tuple[bool, ...]:
        """Whether each of the parameters with these names has weight decay."""
        return tuple(not any(fnmatchcase(name, pattern) for pattern in self.exclude) for name in names)


OPTIMIZERS = (SGD, AdamW)
