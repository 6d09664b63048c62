"""The gate's verdicts as Markdown (a CI summary) and as JUnit XML."""

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas

from results.gate.judge import AMBIGUOUS, NEW, PASS, Verdict, counts, fails
from results.tables.table import Table

# A summary that lists hundreds of cells is not read; the JUnit file has them all.
_MOST_ROWS = 40


def to_markdown(verdicts: list[Verdict]) -> str:
    """Counts by suite and backend, then every verdict that is not pass."""
    groups = dict.fromkeys((v.suite, v.backend) for v in verdicts)
    rows = []
    for suite, backend in groups:
        group = [v for v in verdicts if (v.suite, v.backend) == (suite, backend)]
        rows.append([suite, backend, *counts(group).values()])
    names = ["suite", "backend", *counts([])]
    heading = "Gate: FAILED" if fails(verdicts) else "Gate: passed"
    parts = [Table(heading, pandas.DataFrame(rows, columns=names).astype(str)).to_markdown()]
    order = list(counts([]))
    listed = sorted((v for v in verdicts if v.verdict not in (PASS, NEW)), key=lambda v: order.index(v.verdict))
    if listed:
        body = [[v.verdict, v.suite, v.cell, v.metric, v.figure, v.bound, v.reason] for v in listed[:_MOST_ROWS]]
        columns = ["verdict", "suite", "cell", "metric", "figure", "bound", "why"]
        frame = pandas.DataFrame(body, columns=columns)
        note = f"The first {_MOST_ROWS} of {len(listed)}; the JUnit file has all." if len(listed) > _MOST_ROWS else ""
        parts.append(Table("Not passed", frame, note).to_markdown())
    new = counts(verdicts)[NEW]
    if new:
        parts.append(f'{new} cells have no baseline yet; `python -m results gate --update --reason "…"` records them.\n')
    return "\n".join(parts)


def to_junit(verdicts: list[Verdict]) -> str:
    """A test case for each verdict; regressed and missing are failures, ambiguous and new are skipped."""
    root = ElementTree.Element("testsuites", name="gate")
    for suite, backend in dict.fromkeys((v.suite, v.backend) for v in verdicts):
        group = [v for v in verdicts if (v.suite, v.backend) == (suite, backend)]
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{suite} {backend}",
            tests=str(len(group)),
            failures=str(sum(v.fails for v in group)),
            errors="0",
            skipped=str(sum(v.verdict in (AMBIGUOUS, NEW) for v in group)),
        )
        for verdict in group:
            case = ElementTree.SubElement(
                element, "testcase", classname=f"gate.{suite}.{backend}", name=f"{verdict.cell} {verdict.metric}"
            )
            text = f"{verdict.verdict}: {verdict.figure}, bound {verdict.bound}. {verdict.reason}".strip()
            if verdict.fails:
                ElementTree.SubElement(case, "failure", message=text, type=verdict.verdict).text = text
            elif verdict.verdict != PASS:
                ElementTree.SubElement(case, "skipped", message=text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_summary(markdown: str, path: str | None) -> None:
    """Write the Markdown to `path`, and append it to GitHub's step summary in a job there."""
    if path:
        Path(path).write_text(markdown, encoding="utf-8")
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as file:
            file.write(markdown + "\n")
