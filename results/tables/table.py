"""Tables as data, rendered as Markdown (which a terminal shows as well), CSV, HTML and LaTeX.

pandas and tabulate render. By hand is only what neither does: **bold** and `code` within a cell, in a page and in LaTeX
(rich draws for terminals alone, and its HTML export is of a terminal).
"""

import dataclasses
import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas

# how HTML begins, and a link or picture of Markdown; spreadsheets take a cell that begins so for a formula
_HTML = re.compile(r"<(?=[A-Za-z/!?])")
_FORMULA = re.compile(r"[=+\-@\t\r]")
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:75rem}table{border-collapse:collapse;"
    "font-size:.9rem}th,td{border-bottom:1px solid #8886;padding:.3rem .6rem;text-align:left}.wide{overflow-x:auto}"
)
# What pdfLaTeX has no letter for in running text.
_SYMBOLS = {"α": r"$\alpha$", "β": r"$\beta$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "−": "$-$"}
_SYMBOLS |= {"—": "---", "Δ": r"$\Delta$", "…": r"\ldots{}"}


@dataclasses.dataclass
class Table:
    """A titled table.

    Attributes:
        title: heading.
        frame: cells as strings, already formatted; **bold** as in Markdown.
        note: what the figures mean; "" for none.
        data: the same as numbers, in long form; None where the strings are all there is.
    """

    title: str
    frame: pandas.DataFrame
    note: str = ""
    data: pandas.DataFrame | None = None

    def to_markdown(self) -> str:
        """Heading, note and table as GitHub Markdown; columns are padded, so that it reads well as plain text too."""
        parts = [f"### {plain_markdown(self.title)}"]
        if self.note:
            parts.append(plain_markdown(self.note))
        # numparse would reformat figures that are already formatted, and drop trailing zeros.
        frame = self.frame.map(_markdown_cell).rename(columns=_markdown_cell)
        parts.append(frame.to_markdown(index=False, disable_numparse=True))
        return "\n\n".join(parts) + "\n"

    def numbers(self) -> pandas.DataFrame:
        """The numbers in full where there are any, otherwise the cells without their bold; no cell is a formula."""
        frame = self.frame.map(lambda text: str(text).replace("**", "")) if self.data is None else self.data
        return frame.map(_csv_cell).rename(columns=_csv_cell)

    def to_csv(self) -> str:
        """`numbers` as CSV."""
        return self.numbers().to_csv(index=False)

    def to_html(self) -> str:
        """Heading, note and table as elements of a page."""
        frame = self.frame.map(marked).rename(columns=marked)
        note = f"<p>{marked(self.note)}</p>\n" if self.note else ""
        body = frame.to_html(index=False, escape=False, border=0)
        return f'<h2>{marked(self.title)}</h2>\n{note}<div class="wide">{body}</div>\n'

    def to_latex(self) -> str:
        r"""A `table` with caption and label, for a document that loads booktabs."""
        import tabulate

        text = tabulate.tabulate(
            self.frame.values.tolist(), [str(name) for name in self.frame.columns], "latex_booktabs", disable_numparse=True
        )
        caption = _latex(f"{self.title}. {self.note}".strip())
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\label{{tab:{slug(self.title)}}}\n"
            f"{_symbols(text)}\n\\end{{table}}\n"
        )


def grid(texts: dict[tuple[str, str], str], rows: list[str], columns: list[str], row_name: str) -> pandas.DataFrame:
    """A frame with a named first column, from texts by (row, column); "—" where there is none."""
    lines = [[row, *(texts.get((row, column), "—") for column in columns)] for row in rows]
    return pandas.DataFrame(lines, columns=[row_name, *columns])


def to_markdown(tables: Sequence[Table]) -> str:
    """Tables one after another."""
    return "\n".join(table.to_markdown() for table in tables)


def to_csv(tables: Sequence[Table]) -> str:
    """All tables as one, with one header: a row names its table in the first column, and leaves empty what others have."""
    parts = [table.numbers() for table in tables]
    for table, part in zip(tables, parts, strict=True):
        part.insert(0, "table", _csv_cell(table.title), allow_duplicates=True)
    # of objects: a column that one table lacks would turn another's whole numbers into floats
    return pandas.concat([part.astype(object) for part in parts]).to_csv(index=False) if parts else "table\n"


def to_html(tables: Sequence[Table]) -> str:
    """A page of tables that loads nothing from anywhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Comparison</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(table.to_html() for table in tables)
        + "</body></html>\n"
    )


def to_latex(tables: Sequence[Table]) -> str:
    """Tables one after another, to be read into a document with `\\input`."""
    return "\n".join(["% \\usepackage{booktabs}", *(table.to_latex() for table in tables)])


# a format's name to its function and the suffix of its files
FORMATS: dict[str, tuple[Callable[[Sequence[Table]], str], str]] = {
    "markdown": (to_markdown, ".md"),
    "csv": (to_csv, ".csv"),
    "html": (to_html, ".html"),
    "latex": (to_latex, ".tex"),
}

# other words for a format
ALIASES = {"tex": "latex"}


def format_of(path: str | None, wanted: str | None) -> str:
    """The format that is asked for by name, or by a file's suffix; Markdown where neither says.

    Raises:
        ValueError: a suffix that belongs to no format.
    """
    if wanted is not None or path is None or not Path(path).suffix:
        return ALIASES.get(wanted, wanted) or "markdown"
    names = [name for name, (_, suffix) in FORMATS.items() if suffix == Path(path).suffix.lower()]
    if not names:
        known = ", ".join(f"{suffix} ({name})" for name, (_, suffix) in FORMATS.items())
        raise ValueError(f"--output {path!r}: its suffix names no format; use one of {known}, or say --format.")
    return names[0]


def write(tables: Sequence[Table], form: str, path: str) -> list[Path]:
    """Write tables to a file, or CSV to a folder with a file for each table where `path` has no suffix.

    Returns:
        The files.

    Raises:
        ValueError: the file or folder cannot be written.
    """
    target = Path(path)
    try:
        if form == "csv" and not target.suffix:
            target.mkdir(parents=True, exist_ok=True)
            written = [target / f"{slug(table.title)}.csv" for table in tables]
            for table, file in zip(tables, written, strict=True):
                file.write_text(table.to_csv(), encoding="utf-8")
            return written
        target.write_text(FORMATS[form][0](tables), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--output {path}: {error.strerror or error}. Name a place that can be written.") from error
    return [target]


def plain_markdown(text: object) -> str:
    """Text with **bold** and `code` alone: what a record holds becomes neither HTML, nor a link, a picture or a new line."""
    text = _HTML.sub("&lt;", str(text)).replace("](", "]&#40;")
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def _markdown_cell(text: object) -> str:
    # behind a backslash of its own, one more would not hold a bar back
    return plain_markdown(text).replace("\\|", "\\&#124;").replace("|", "\\|")


def _csv_cell(value: Any) -> Any:
    """A number as it is; text that a spreadsheet would take for a formula behind an apostrophe."""
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def slug(title: str) -> str:
    """A title as the name of a file or a label."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def marked(text: str) -> str:
    """Escaped text with Markdown's **bold** and `code` as elements."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(str(text)))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def _latex(text: str) -> str:
    """Running text for LaTeX: its special characters escaped, then as `_symbols`."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"<": "$<$", ">": "$>$"}
    return _symbols("".join(special.get(sign, sign) for sign in text))


def _symbols(text: str) -> str:
    """Markdown's bold and code as commands, and letters that LaTeX lacks as formulas."""
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    text = re.sub(r"`(.+?)`", r"\\texttt{\1}", text)
    return "".join(_SYMBOLS.get(sign, sign) for sign in text)
