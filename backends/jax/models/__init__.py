"""Networks of this backend."""
