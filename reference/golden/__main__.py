"""`python -m reference.golden`: compute the golden cases again."""

from reference.golden.compute import main

main()
