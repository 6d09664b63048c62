"""Training of students in this backend."""

from .train import train_student

__all__ = ["train_student"]
