"""Text of records made safe for what it is written into: a terminal, Markdown, XML.

What a record says is somebody else's text: a compiler's message with colours, a branch name with a "|", HTML.
"""

import unicodedata

# Entities for what starts something in Markdown and in the HTML that it may hold. "&" stays, so that escaping twice changes
# nothing.
_MARKDOWN = str.maketrans({"|": "&#124;", "<": "&lt;", ">": "&gt;", "`": "&#96;", "[": "&#91;", "]": "&#93;"})


def printable(text: object) -> str:
    r"""The text on one line, without anything that a terminal acts on or XML cannot hold.

    Spaces and line ends of all kinds become a space; control characters, marks that turn the direction of writing, halves of
    surrogate pairs and the like are written out: `\x1b`.
    """
    return "".join(letter if letter.isprintable() else _written_out(letter) for letter in str(text))


def lines(text: object) -> str:
    """`printable`, line by line."""
    return "\n".join(map(printable, str(text).split("\n")))


def markdown(text: object) -> str:
    """`printable`, and nothing in it is a table's column, HTML, code or a link of Markdown."""
    return printable(text).translate(_MARKDOWN)


def shortened(text: object, most: int = 200) -> str:
    """`printable`, and cut after so many letters."""
    whole = str(text)
    return printable(whole[:most]) + ("…" if len(whole) > most else "")


def _written_out(letter: str) -> str:
    if letter in "\t\n\r\v\f" or unicodedata.category(letter) in ("Zs", "Zl", "Zp"):
        return " "
    return letter.encode("unicode_escape").decode("ascii")
