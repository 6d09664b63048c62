"""Agreement of a backend with the reference."""
