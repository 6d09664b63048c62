"""The divergences of this backend by name: the α-β-divergence and the catalogue of the others."""

from backends.tensorflow.alpha_beta import ab_divergence
from backends.tensorflow.catalogue import (
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
