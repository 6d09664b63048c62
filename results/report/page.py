"""One document, written as Markdown and as an HTML page: each is a single file with its figures inside.

The page loads nothing from anywhere, and reads on a phone: wide tables scroll, tables of sentences become cards. Its tables
are written by hand, since pandas gives a cell no attributes without jinja2, and cards need their column's name.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from results.tables.table import Table, marked, plain_markdown


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


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list of sentences, marked as in `Text`."""

    items: list[str]


@dataclasses.dataclass(frozen=True)
class Contents:
    """Links to the document's headings of level 2."""


@dataclasses.dataclass(frozen=True)
class Folded:
    """Blocks that show when their summary is opened; in Markdown they stand there as they are."""

    summary: str
    blocks: tuple[Block, ...]


Block = Heading | Text | Picture | Sentences | Table | Bullets | Contents | Folded

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 64rem; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; scroll-margin-top: .5rem; border-bottom: 2px solid var(--line); padding-bottom: .2rem; }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.5rem 0; }
nav a { border: 1px solid var(--line); border-radius: 1rem; padding: .35rem .8rem; text-decoration: none; }
li { margin: .5rem 0; }
ul { padding-left: 1.2rem; }
summary { cursor: pointer; font-weight: 600; padding: .5rem 0; }
.wide { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
.wide td { white-space: nowrap; }
.wide td.long { white-space: normal; min-width: 16rem; }
.wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: Canvas; }
.wide th:first-child { background: linear-gradient(var(--soft) 0 0), Canvas; }
figure { margin: 1.5rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
figcaption, .note { font-size: .85rem; opacity: .8; }
@media (max-width: 45rem) {
  .wide td:first-child { max-width: 8rem; white-space: normal; overflow-wrap: break-word; }
  .wide img.broad { max-width: none; width: 42rem; }
  .cards thead { display: none; }
  .cards tr { display: block; border: 1px solid var(--line); border-radius: .5rem; margin: .6rem 0; padding: .4rem; }
  .cards td { display: block; border: 0; padding: .15rem .3rem; }
  .cards td::before { content: attr(data-name) ": "; font-weight: 600; }
  .cards td:empty { display: none; }
}
@media print { details > * { display: block; } }
"""
# from this many pixels a figure keeps its size on a narrow screen, where it scrolls sideways
_BROAD = 700
# from this many letters a cell of a table breaks its lines
_LONG = 60


def to_markdown(blocks: list[Block]) -> str:
    """The document as Markdown; figures are inside as data at its end."""
    parts, pictures = [], []
    for block in _unfolded(blocks):
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {plain_markdown(block.text)}\n")
        elif isinstance(block, Text):
            parts.append(f"{plain_markdown(block.text)}\n")
        elif isinstance(block, Bullets):
            parts.append("".join(f"- {plain_markdown(item)}\n" for item in block.items))
        elif isinstance(block, Contents):
            parts.append(" · ".join(f"[{text}](#{anchor(text)})" for text in _sections(blocks)) + "\n")
        elif isinstance(block, Picture):
            name = f"figure-{len(pictures) + 1}"
            pictures.append(f"[{name}]: {_data(block.path.read_bytes())}")
            parts.append(f"![{block.caption}][{name}]\n\n*{block.caption}*\n")
        else:
            table = block.table if isinstance(block, Sentences) else block
            parts.append(table.to_markdown())
    return "\n".join([*parts, *pictures]) + "\n"


def to_html(blocks: list[Block], title: str) -> str:
    """The document as a page."""
    body = "\n".join(_nav(blocks) if isinstance(block, Contents) else _block(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # An icon of its own: a browser would ask a server for one otherwise.
        f'<link rel="icon" href="data:,">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def anchor(text: str) -> str:
    """The id of a heading, as GitHub makes it of its text, so that links work in both files."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _unfolded(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield from _unfolded(block.blocks) if isinstance(block, Folded) else (block,)


def _sections(blocks: Sequence[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]


def _nav(blocks: Sequence[Block]) -> str:
    links = "".join(f'<a href="#{anchor(text)}">{marked(text)}</a>' for text in _sections(blocks))
    return f'<nav aria-label="Contents">{links}</nav>'


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f'<h{block.level} id="{anchor(block.text)}">{marked(block.text)}</h{block.level}>'
    if isinstance(block, Text):
        return f"<p>{marked(block.text)}</p>"
    if isinstance(block, Bullets):
        return "<ul>\n" + "\n".join(f"<li>{marked(item)}</li>" for item in block.items) + "\n</ul>"
    if isinstance(block, Folded):
        inside = "\n".join(_block(part) for part in block.blocks)
        return f"<details>\n<summary>{marked(block.summary)}</summary>\n{inside}\n</details>"
    if isinstance(block, Picture):
        return _figure(block)
    if isinstance(block, Contents):
        raise ValueError("Contents stand at the top of a document, in no other block.")
    return _table(block.table, True) if isinstance(block, Sentences) else _table(block, False)


def _figure(block: Picture) -> str:
    """A figure with its size, so that nothing moves while the page loads; a broad one scrolls on a narrow screen."""
    caption, content = html.escape(block.caption), block.path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    broad = ' class="broad"' if width > _BROAD else ""
    image = f'<img src="{_data(content)}" alt="{caption}" width="{width}" height="{height}"{broad}>'
    return f'<figure><div class="wide" tabindex="0">{image}</div><figcaption>{caption}</figcaption></figure>'


def _table(table: Table, cards: bool) -> str:
    """A table that scrolls sideways (the keyboard can do that too), or becomes cards on a narrow screen."""
    names = [str(name) for name in table.frame.columns]
    head = "".join(f"<th>{marked(name)}</th>" for name in names)
    marks = [f' data-name="{html.escape(name)}"' if cards else "" for name in names]
    rows = "\n".join(
        "<tr>" + "".join(_cell(mark, str(cell), cards) for mark, cell in zip(marks, row, strict=True)) + "</tr>"
        for row in table.frame.itertuples(index=False, name=None)
    )
    note = f'<p class="note">{marked(table.note)}</p>' if table.note else ""
    attributes = 'class="cards"' if cards else 'class="wide" tabindex="0"'
    return (
        f"<h3>{marked(table.title)}</h3>\n{note}\n"
        f"<div {attributes}><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(mark: str, text: str, cards: bool) -> str:
    long = ' class="long"' if len(text) > _LONG and not cards else ""
    return f"<td{mark}{long}>{marked(text)}</td>"


def _data(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
