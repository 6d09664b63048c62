"""Golden cases: divergences and gradients with known answers, computed in multiprecision and committed."""

from reference.golden.compute import GoldenCase, golden_path, load

__all__ = ["GoldenCase", "golden_path", "load"]
