"""The divergences as they are defined, in mpmath, at any number of digits."""

from reference.exact.definition import ab_divergence, ab_divergence_from_logits, exact_row

__all__ = ["ab_divergence", "ab_divergence_from_logits", "exact_row"]
