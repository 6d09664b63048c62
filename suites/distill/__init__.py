"""Distillation of students from teachers."""
