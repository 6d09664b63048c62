"""The divergences of this backend by name: the α-β-divergence and the catalogue of the others."""

from ..common.arguments import divergences_in
from .losses import catalogue
from .losses.alpha_beta import ab_divergence
from .losses.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = ["ab_divergence", *divergences_in(catalogue)]
