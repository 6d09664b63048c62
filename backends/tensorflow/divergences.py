"""The divergences of this backend by name: the α-β-divergence and the catalogue of the others."""

from .losses import DIVERGENCES
from .losses.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = list(DIVERGENCES)
