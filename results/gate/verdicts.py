"""The gate's verdicts as Markdown (a CI summary) and as JUnit XML."""

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas

from results.escaping import markdown, printable
from results.gate.judge import NEW, PASS, Verdict, compared, counts, fails
from results.tables.table import Table

# A summary that lists hundreds of cells is not read; the JUnit file has them all.
_MOST_ROWS = 40


def to_markdown(verdicts: list[Verdict], judged: str = "") -> str:
    """Counts by suite and backend, then every verdict that is not pass.

    Args:
        verdicts: of the gate.
        judged: which records they are of, in words.
    """
    groups = dict.fromkeys((v.suite, v.backend) for v in verdicts)
    rows = []
    for suite, backend in groups:
        group = [v for v in verdicts if (v.suite, v.backend) == (suite, backend)]
        rows.append([markdown(suite), markdown(backend), *counts(group).values()])
    names = ["suite", "backend", *counts([])]
    heading = "Gate: FAILED" if fails(verdicts) else "Gate: passed"
    note = "" if compared(verdicts) else "Nothing was compared, and that is no pass."
    parts = [Table(heading, pandas.DataFrame(rows, columns=names).astype(str), note).to_markdown()]
    order = list(counts([]))
    listed = sorted((v for v in verdicts if v.verdict not in (PASS, NEW)), key=lambda v: order.index(v.verdict))
    if listed:
        texts = [(v.verdict, v.suite, v.cell, v.metric, v.figure, v.bound, v.reason) for v in listed[:_MOST_ROWS]]
        body = [[markdown(text) for text in row] for row in texts]
        columns = ["verdict", "suite", "cell", "metric", "figure", "bound", "why"]
        frame = pandas.DataFrame(body, columns=columns)
        note = f"The first {_MOST_ROWS} of {len(listed)}; the JUnit file has all." if len(listed) > _MOST_ROWS else ""
        parts.append(Table("Not passed", frame, note).to_markdown())
    new = counts(verdicts)[NEW]
    if new:
        parts.append(f'{new} cells have no baseline yet; `python -m results gate --update --reason "…"` records them.\n')
    if judged:
        parts.append(f"Judged: {markdown(judged)}.\n")
    return "\n".join(parts)


def to_junit(verdicts: list[Verdict]) -> str:
    """A test case for each verdict; those that fail are failures, ambiguous and new ones are skipped."""
    root = ElementTree.Element("testsuites", name="gate")
    for suite, backend in dict.fromkeys((v.suite, v.backend) for v in verdicts):
        group = [v for v in verdicts if (v.suite, v.backend) == (suite, backend)]
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=printable(f"{suite} {backend}"),
            tests=str(len(group)),
            failures=str(sum(v.fails for v in group)),
            errors="0",
            skipped=str(sum(v.verdict != PASS and not v.fails for v in group)),
        )
        for verdict in group:
            names = {"classname": printable(f"gate.{suite}.{backend}"), "name": printable(f"{verdict.cell} {verdict.metric}")}
            case = ElementTree.SubElement(element, "testcase", names)
            text = printable(f"{verdict.verdict}: {verdict.figure}, bound {verdict.bound}. {verdict.reason}".strip())
            if verdict.fails:
                ElementTree.SubElement(case, "failure", message=text, type=verdict.verdict).text = text
            elif verdict.verdict != PASS:
                ElementTree.SubElement(case, "skipped", message=text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_files(text: str, junit: str, markdown_path: str | None, junit_path: str | None) -> list[str]:
    """Write the Markdown and JUnit files that are wanted, and append to GitHub's step summary in a job there.

    Args:
        text: the Markdown.
        junit: the XML.
        markdown_path, junit_path: where they go; None for nowhere.

    Returns:
        A sentence for each file that could not be written: the verdict stands without them.
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    wanted = (
        ("--markdown", markdown_path, text, "w"),
        ("--junit", junit_path, junit, "w"),
        ("summary", summary, text + "\n", "a"),
    )
    troubles = []
    for name, path, content, mode in wanted:
        if path:
            try:
                with Path(path).open(mode, encoding="utf-8") as file:
                    file.write(content)
            except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
                why = getattr(error, "strerror", None) or error
                troubles.append(printable(f"The file of {name}, {path}, cannot be written ({why}); name one that can."))
    return troubles
