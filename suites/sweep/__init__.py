"""Sweeps: a grid or a random search over parameters of methods, with ordinary cells of the suite "distill"."""
