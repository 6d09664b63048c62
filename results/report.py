"""The report: the main findings, then every section with its tables and figures, in one document.

A second process checks the claims, which need no records, and draws the figures that need few.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from reference import claims
from results.page import Block, Contents, Heading, to_html, to_markdown
from results.records import Record
from results.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "ABKD benchmark: report"


class Background:
    """A second process that checks the claims from the moment it is there, and draws figures after that."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._drawn: list[Future[Path]] = []
        self._findings: Future[list[claims.Finding]] = pool.submit(_check)

    def draw(self, path: Path, function: Callable[..., Figure], *arguments: Any) -> Path:
        """Begin to draw a figure and to save it.

        Args:
            path: of the file, which is there after `wait`.
            function: at the top of a module, as it travels by its name; returns the figure.
            *arguments: of the function; they travel as well, so they should be small.
        """
        self._drawn.append(self._pool.submit(_save, function, arguments, path))
        return path

    def wait(self) -> None:
        """Wait for all figures that were begun.

        Raises:
            OSError: one could not be saved.
        """
        for drawn in self._drawn:
            drawn.result()

    def checked(self) -> list[tuple[claims.Claim, claims.Finding]]:
        """The claims with their findings."""
        return list(zip(claims.CLAIMS.values(), self._findings.result(), strict=True))


@contextlib.contextmanager
def background() -> Iterator[Background]:
    """Start the second process; it ends with the block."""
    # "spawn": a copy of a process with threads (NumPy's) may hang, and the other systems know nothing else.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Background(pool)


def write(records: list[Record], metric: str, folder: Path, helper: Background) -> tuple[Path, Path, str]:
    """Write `report.md` and `report.html`.

    Args:
        records: the newest record of each cell to report on; may be empty, the claims need none.
        metric: of the table of methods.
        folder: where the two files go; made where it is missing.
        helper: of `background`.

    Returns:
        Both paths, and the table of claims as short Markdown for a terminal.

    Raises:
        ValueError: the folder cannot be written.
    """
    from results import sections

    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        material = sections.Material(records, metric, folder, helper)
        shown = [(heading, section(material)) for heading, section in sections.SECTIONS]
        blocks: list[Block] = [Heading(TITLE, 1), *sections.summary(material), Contents()]
        for heading, section in shown:
            if section:
                blocks += [Heading(heading), *section]
        helper.wait()
        written = folder / "report.md", folder / "report.html"
        written[0].write_text(to_markdown(blocks), encoding="utf-8")
        written[1].write_text(to_html(blocks, TITLE), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--output {folder}: {error.strerror or error}. Name a folder that can be written.") from error
    return *written, _short(helper.checked()).to_markdown()


def _short(checked: list[tuple[claims.Claim, claims.Finding]]) -> Table:
    """Verdict, figure and statement; the document has the rest."""
    rows = [
        [finding.verdict, f"{finding.figure:.3g}", claim.group, claim.statement.replace("|", "\\|")]
        for claim, finding in checked
    ]
    return Table("Claims", pandas.DataFrame(rows, columns=["verdict", "figure", "about", "claim"]))


def _check() -> list[claims.Finding]:
    """What the second process does first. Findings only: the checks of claims need not travel."""
    return [finding for _, finding in claims.check_all()]


def _save(function: Callable[..., Figure], arguments: tuple[Any, ...], path: Path) -> Path:
    from results import figures

    return figures.save(function(*arguments), path)
