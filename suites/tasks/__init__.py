"""Kinds of problem: which networks solve them, what a batch is, how a student is judged."""
