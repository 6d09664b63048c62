"""Tables as data, rendered as Markdown, which a terminal shows as well. Another format is another method here."""

from __future__ import annotations

import dataclasses

import pandas


@dataclasses.dataclass
class Table:
    """A titled table.

    Attributes:
        title: heading.
        frame: cells as strings, already formatted.
        note: what the figures mean; "" for none.
    """

    title: str
    frame: pandas.DataFrame
    note: str = ""

    def to_markdown(self) -> str:
        """Heading, note and table as GitHub Markdown; columns are padded, so that it reads well as plain text too."""
        parts = [f"### {self.title}"]
        if self.note:
            parts.append(self.note)
        # numparse would reformat figures that are already formatted, and drop trailing zeros.
        parts.append(self.frame.to_markdown(index=False, disable_numparse=True))
        return "\n\n".join(parts) + "\n"


def grid(
    entries: dict[tuple[str, str], str], rows: list[str], columns: list[str], row_name: str, empty: str = "—"
) -> pandas.DataFrame:
    """A frame with a named first column, from entries by (row, column)."""
    return pandas.DataFrame(
        [[row, *(entries.get((row, column), empty) for column in columns)] for row in rows],
        columns=[row_name, *columns],
    )
