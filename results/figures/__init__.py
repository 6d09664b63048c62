"""Figures of what records hold."""
