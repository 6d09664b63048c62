"""Divergences and training terms of this backend."""
