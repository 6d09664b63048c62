"""Divergences between teacher and student logits by name, as differentiable PyTorch functions."""

from backends.torch.alpha_beta import ab_divergence
from backends.torch.catalogue import (
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
