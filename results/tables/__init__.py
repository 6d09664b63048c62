"""Tables of what records hold."""

from results.tables.table import Table, grid

__all__ = ["Table", "grid"]
