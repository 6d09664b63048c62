"""The divergences of this backend by name: the α-β-divergence and the catalogue of the others."""

from backends.arguments import divergences_in
from backends.torch import catalogue
from backends.torch.alpha_beta import ab_divergence
from backends.torch.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = ["ab_divergence", *divergences_in(catalogue)]
