"""One document, written as Markdown and as an HTML page: each is a single file with its figures inside.

The page loads nothing from anywhere, and reads on a phone: wide tables scroll, tables of sentences become cards.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from pathlib import Path

from results.tables import Table


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's title."""

    text: str
    level: int = 2


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; **bold** and `code` are marked as in Markdown."""

    text: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows in words."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Sentences:
    """A table whose cells hold sentences; on a narrow screen each row becomes a card."""

    table: Table


Block = Heading | Text | Picture | Sentences | Table

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 62rem; }
h1, h2, h3 { line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #fff; }
figcaption, .note { font-size: .85rem; opacity: .8; }
@media (max-width: 45rem) {
  .cards thead { display: none; }
  .cards tr { display: block; border: 1px solid var(--line); border-radius: .5rem; margin: .6rem 0; padding: .4rem; }
  .cards td { display: block; border: 0; padding: .15rem .3rem; overflow-wrap: anywhere; }
  .cards td::before { content: attr(data-name) ": "; font-weight: 600; }
  .cards td:empty { display: none; }
}
"""


def to_markdown(blocks: list[Block]) -> str:
    """The document as Markdown; figures are inside as data at its end."""
    parts, pictures = [], []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {block.text}\n")
        elif isinstance(block, Text):
            parts.append(f"{block.text}\n")
        elif isinstance(block, Picture):
            name = f"figure-{len(pictures) + 1}"
            pictures.append(f"[{name}]: {_data(block.path)}")
            parts.append(f"![{block.caption}][{name}]\n\n*{block.caption}*\n")
        else:
            table = block.table if isinstance(block, Sentences) else block
            frame = table.frame.map(lambda text: str(text).replace("|", "\\|").replace("\n", " "))
            parts.append(dataclasses.replace(table, frame=frame).to_markdown())
    return "\n".join([*parts, *pictures]) + "\n"


def to_html(blocks: list[Block], title: str) -> str:
    """The document as a page."""
    body = "\n".join(_block(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_marked(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{_marked(block.text)}</p>"
    if isinstance(block, Picture):
        caption = html.escape(block.caption)
        image = f'<img src="{_data(block.path)}" alt="{caption}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    cards = isinstance(block, Sentences)
    table = block.table if cards else block
    names = [str(name) for name in table.frame.columns]
    head = "".join(f"<th>{_marked(name)}</th>" for name in names)
    rows = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-name="{html.escape(name)}">{_marked(str(cell))}</td>'
            for name, cell in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in table.frame.itertuples(index=False, name=None)
    )
    note = f'<p class="note">{_marked(table.note)}</p>' if table.note else ""
    return (
        f"<h3>{_marked(table.title)}</h3>\n{note}\n"
        f'<div class="{"cards" if cards else "wide"}"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _marked(text: str) -> str:
    """Escaped text with Markdown's **bold** and `code` as elements."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def _data(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
