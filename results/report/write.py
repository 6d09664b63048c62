"""The report: the main findings, then every section with its tables and figures, in one document."""

from pathlib import Path

from results.records.record import Record
from results.report.background import Background
from results.report.page import Block, Contents, Heading, to_html, to_markdown

TITLE = "ABKD benchmark: report"


def write(records: list[Record], metric: str, folder: Path, helper: Background) -> tuple[Path, Path, str]:
    """Write `report.md` and `report.html`.

    Args:
        records: the newest record of each cell to report on; may be empty, the claims need none.
        metric: of the table of methods.
        folder: where the two files go; made where it is missing.
        helper: of `background`.

    Returns:
        Both paths, and the main findings as Markdown for a terminal.

    Raises:
        ValueError: the folder cannot be written.
    """
    from results.report import sections

    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        material = sections.Material(records, metric, folder, helper)
        shown = [(heading, section(material)) for heading, section in sections.SECTIONS]
        summary = sections.summary(material)
        blocks: list[Block] = [Heading(TITLE, 1), *summary, Contents()]
        for heading, section in shown:
            if section:
                blocks += [Heading(heading), *section]
        helper.wait()
        written = folder / "report.md", folder / "report.html"
        written[0].write_text(to_markdown(blocks), encoding="utf-8")
        written[1].write_text(to_html(blocks, TITLE), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--output {folder}: {error.strerror or error}. Name a folder that can be written.") from error
    return *written, to_markdown(summary)
