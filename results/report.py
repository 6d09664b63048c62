"""The report: the main findings, then every section with its tables and figures, in one document.

What needs no records (the claims, the error map near the singular lines) is computed by a second process meanwhile.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pandas

from reference import claims
from results.page import Block, Contents, Heading, to_html, to_markdown
from results.records import Record
from results.tables import Table

TITLE = "ABKD benchmark: report"


class Background:
    """A second process that checks the claims from the moment it is there, and draws the figure that takes longest."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._findings: Future[list[claims.Finding]] = pool.submit(_check)

    def near_lines(self, records: list[Record], path: Path) -> Future[Path]:
        """Begin to draw the errors near the singular lines."""
        from results import maps

        return self._pool.submit(_draw, maps.measured_near_lines(records), path)

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
        near_lines = helper.near_lines(records, material.near_lines)
        shown = [(heading, section(material)) for heading, section in sections.SECTIONS]
        blocks: list[Block] = [Heading(TITLE, 1), *sections.summary(material), Contents()]
        for heading, section in shown:
            if section:
                blocks += [Heading(heading), *section]
        near_lines.result()
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


def _draw(measured: dict, path: Path) -> Path:
    from reference.error_map import known_maps
    from results import figures, maps

    return figures.save(maps.near_lines_figure({**known_maps(), **measured}), path)
