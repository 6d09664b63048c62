"""The truth that everything else is measured against. No framework: NumPy, SciPy and mpmath only.

`reference.exact` is the definition at any number of digits, `reference.divergences` and `reference.objectives` the same
in float64 with the backends' arguments, `reference.golden` cases with known answers, `reference.catalogue` the table of
what there is.
"""
