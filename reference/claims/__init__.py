"""The claims of the paper, of its published code and of the article, each checked."""

from reference.claims.claim import CONDITION, FAILS, HOLDS, VERDICTS, Claim, Finding
from reference.claims.every import CLAIMS, check, check_all, counts

__all__ = ["CLAIMS", "CONDITION", "FAILS", "HOLDS", "VERDICTS", "Claim", "Finding", "check", "check_all", "counts"]
