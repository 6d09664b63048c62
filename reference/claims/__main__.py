"""`python -m reference.claims`: check every claim and print what was found."""

from reference.claims.every import main

main()
