"""The claims of the paper, of its published code and of the article, each checked: `python -m reference.claims`.

A claim is a statement with its source; its check computes a figure and a verdict: holds, holds with a condition (the
remark says which), fails (the remark says what is true). All together take a few seconds and give the same figures on
every run. A new claim is one function and one row of `CLAIMS` in `family`, `allocation` or `published`, whichever it is about.
"""

from reference.claims import allocation, family, published
from reference.claims.claim import VERDICTS, Claim, Finding

_GROUPS = (family.GROUP, allocation.GROUP, published.CODE, published.ARTICLE)

# by name, group by group
CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in sorted((*family.CLAIMS, *allocation.CLAIMS, *published.CLAIMS), key=lambda claim: _GROUPS.index(claim.group))
}


def check(name: str) -> Finding:
    """Check one claim.

    Raises:
        ValueError: there is none of this name; the message lists them.
    """
    if name not in CLAIMS:
        raise ValueError(f"claim {name!r} is not known; choose from {', '.join(CLAIMS)}")
    return CLAIMS[name].check()


def check_all() -> list[tuple[Claim, Finding]]:
    """Every claim with its finding, group by group."""
    return [(claim, claim.check()) for claim in CLAIMS.values()]


def counts(checked: list[tuple[Claim, Finding]]) -> dict[str, int]:
    """How many claims have each verdict."""
    return {verdict: sum(finding.verdict == verdict for _, finding in checked) for verdict in VERDICTS}


def main() -> None:
    """Print every claim with its verdict and figure."""
    checked = check_all()
    group = None
    for claim, finding in checked:
        if claim.group != group:
            group = claim.group
            print(f"\n{group}\n")
        print(f"  {finding.verdict.upper()}: {claim.statement}")
        print(f"      {finding.figure:.3g}: {finding.meaning}")
        if finding.remark:
            print(f"      {finding.remark}")
        print(f"      source: {claim.source}; claim {claim.name}")
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts(checked).items()))
