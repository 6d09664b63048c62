"""The report: claims and their verdicts, errors against the reference, what the store holds, in one document."""

from __future__ import annotations

from pathlib import Path

import pandas

from reference import claims
from results import compare, figures, maps, published
from results.page import Block, Heading, Picture, Sentences, Text, to_html, to_markdown
from results.records import Record, newest
from results.tables import Table

TITLE = "ABKD benchmark: report"
_CAPTIONS = {
    "errors": "Largest error of each agreement cell against the reference.",
    "error_budget": "Largest error of each agreement cell as a share of the bound that its row has to keep.",
    "accuracy_against_time": "Accuracy against time: epoch by epoch, and where the trainings ended.",
    "near_lines": "Relative error near the singular lines α = 0, β = 0 and α + β = 0: the published formula, this "
    "project's reference, and the backends where they have been measured. The published code is right on a line only "
    "where the other parameter is 1.",
    "timings": "Time of the loss, forward and backward.",
    "methods": "Students by method and backend: a dot for each seed, mean ± standard error.",
    "concentration": "On which classes a gradient step at each (α, β) would work: size of the errors, confidence of "
    "the student, number of classes.",
}


def write(records: list[Record], metric: str, folder: Path) -> tuple[Path, Path, str]:
    """Write `report.md` and `report.html`.

    Args:
        records: what to report on; may be empty, the claims need none.
        metric: of the table of methods.
        folder: where the two files go; made where it is missing.

    Returns:
        Both paths, and the table of claims as short Markdown for a terminal.

    Raises:
        ValueError: the folder cannot be written.
    """
    checked = claims.check_all()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        blocks = _blocks(checked, records, metric, folder)
        written = folder / "report.md", folder / "report.html"
        written[0].write_text(to_markdown(blocks), encoding="utf-8")
        written[1].write_text(to_html(blocks, TITLE), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--output {folder}: {error.strerror or error}. Name a folder that can be written.") from error
    return *written, _short(checked).to_markdown()


def _blocks(
    checked: list[tuple[claims.Claim, claims.Finding]], records: list[Record], metric: str, folder: Path
) -> list[Block]:
    """The whole document, claims first: they need no records."""
    blocks = [Heading(TITLE, 1), *_summary(checked, records), *_claims(checked)]
    blocks += _figures(records, folder, None)
    if records:
        blocks.append(Heading("What the store holds"))
        tables = compare.tables(records, metric)
        blocks += tables
        if not any(table.title == published.TITLE for table in tables):
            blocks.append(Text(published.NOTHING))
        for suite in dict.fromkeys(record.suite for record in records):
            blocks += _figures(records, folder, suite)
    return blocks


def _summary(checked: list[tuple[claims.Claim, claims.Finding]], records: list[Record]) -> list[Block]:
    counts = ", ".join(f"{verdict} {count}" for verdict, count in claims.counts(checked).items())
    blocks: list[Block] = [Text(f"{len(checked)} claims checked: {counts}.")]
    if records:
        ended = max(record.finished for record in records)[:16].replace("T", " ")
        backends = ", ".join(dict.fromkeys(record.backend for record in newest(records)))
        blocks.append(Text(f"{len(newest(records))} cells of {backends}; the last ended {ended} UTC."))
    else:
        blocks.append(Text("The store holds no records yet: `nox -s torch` (or jax, tensorflow) makes them."))
    return blocks


def _claims(checked: list[tuple[claims.Claim, claims.Finding]]) -> list[Block]:
    """A table for each group of claims."""
    blocks: list[Block] = [Heading("Claims")]
    for group in dict.fromkeys(claim.group for claim, _ in checked):
        rows = [
            [_mark(finding), claim.statement, f"{finding.figure:.3g}: {finding.meaning}", finding.remark, claim.source]
            for claim, finding in checked
            if claim.group == group
        ]
        frame = pandas.DataFrame(rows, columns=["verdict", "claim", "figure", "what is true", "source"])
        blocks.append(Sentences(Table(group, frame)))
    return blocks


def _short(checked: list[tuple[claims.Claim, claims.Finding]]) -> Table:
    """Verdict, figure and statement; the document has the rest."""
    rows = [
        [finding.verdict, f"{finding.figure:.3g}", claim.group, claim.statement.replace("|", "\\|")]
        for claim, finding in checked
    ]
    return Table("Claims", pandas.DataFrame(rows, columns=["verdict", "figure", "about", "claim"]))


def _mark(finding: claims.Finding) -> str:
    return finding.verdict if finding.verdict == claims.HOLDS else f"**{finding.verdict}**"


def _figures(records: list[Record], folder: Path, suite: str | None) -> list[Block]:
    """The figures of a suite; the error map, which needs no records, where no suite is named."""
    if suite is None:
        agreement = [record for record in newest(records) if record.suite == "agreement"]
        drawn = [("near_lines", maps.near_lines(agreement))]
    else:
        kept = [record for record in newest(records) if record.suite == suite]
        drawn = [(name, draw(kept)) for name, draw in maps.OF_INVOCATION.get(suite, ()) if name != "near_lines"]
    blocks: list[Block] = []
    for name, figure in drawn:
        if figure is not None:
            blocks.append(Picture(figures.save(figure, folder / "figures" / f"{name}.png"), _CAPTIONS[name]))
    return blocks
