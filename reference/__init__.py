"""The truth that everything else is measured against. No framework: NumPy, SciPy and mpmath only.

`reference.exact` is the definition at any number of digits, `reference.divergences` and `reference.objectives` the same
in float64 with the backends' arguments, `reference.golden` cases with known answers, `reference.catalogue` the table of
what there is. `reference.claims` checks what the paper, its code and the article state, `reference.concentration` says
what a gradient step does to the student, `reference.presets` names points (α, β) with their sources.
"""
