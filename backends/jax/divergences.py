"""The divergences between teacher and student logits, each with its gradient worked out in the forward pass.

All have the same signature, but for their own parameters: `divergence(student_logits, teacher_logits, …,
temperature=1.0, mask=None, reduction="mean")`, and the same conventions: see `ab_divergence`.
"""

from ..common.arguments import divergences_in
from .losses import catalogue
from .losses.alpha_beta import ab_divergence
from .losses.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = ["ab_divergence", *divergences_in(catalogue)]
