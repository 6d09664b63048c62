"""The divergences between teacher and student logits, each with its gradient worked out in the forward pass.

All have the same signature, but for their own parameters: `divergence(student_logits, teacher_logits, …,
temperature=1.0, mask=None, reduction="mean")`, and the same conventions: see `ab_divergence`.
"""

from backends.jax.alpha_beta import ab_divergence
from backends.jax.catalogue import (
    adaptive_kl,
    alpha_divergence,
    alphanet,
    beta_divergence,
    bidirectional_kl,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    skewed_forward_kl,
    skewed_reverse_kl,
    squared_euclidean,
    squared_hellinger,
    total_variation,
    weighted_sum,
)

__all__ = [
    "ab_divergence",
    "adaptive_kl",
    "alpha_divergence",
    "alphanet",
    "beta_divergence",
    "bidirectional_kl",
    "forward_kl",
    "jensen_shannon",
    "reverse_kl",
    "skewed_forward_kl",
    "skewed_reverse_kl",
    "squared_euclidean",
    "squared_hellinger",
    "total_variation",
    "weighted_sum",
]
