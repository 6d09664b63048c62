"""The divergences of this backend by name: the α-β-divergence and the catalogue of the others.

All are called alike: `divergence(student_logits, teacher_logits, …, temperature=1.0, mask=None, reduction="mean")`, with
the divergence's own parameters in between; conventions are those of `ab_divergence`.
"""

from .losses import DIVERGENCES
from .losses.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = list(DIVERGENCES)
