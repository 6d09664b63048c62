"""The divergences between teacher and student logits, each with its gradient worked out in the forward pass.

All have the same signature, but for their own parameters: `divergence(student_logits, teacher_logits, …,
temperature=1.0, mask=None, reduction="mean")`, and the same conventions: see `ab_divergence`.
"""

from backends.arguments import divergences_in
from backends.jax import catalogue
from backends.jax.alpha_beta import ab_divergence
from backends.jax.catalogue import *  # noqa: F403  a divergence that is written there needs no other line

__all__ = ["ab_divergence", *divergences_in(catalogue)]
