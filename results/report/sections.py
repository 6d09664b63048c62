"""The sections of the report: what each of them shows of the records, as blocks of a page.

A section is a function of the material that returns blocks; one that returns none is left out. `SECTIONS` has their
order and headings, and a new one is one line there.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas

from reference import claims
from results.figures import frameworks as framework_figure
from results.figures import near_lines, style
from results.figures.of_invocation import OF_INVOCATION
from results.grouping import Comparable
from results.report import findings
from results.report.background import Background
from results.report.page import Block, Bullets, Folded, Picture, Sentences, Text
from results.tables import agreement as agreement_table
from results.tables import environment as environment_table
from results.tables import framework_steps, frameworks, methods, paired, precisions, published, sweeps, traces
from results.tables import speed as speed_tables
from results.tables.table import Table, slug

# what stands below a figure, by its file's name
CAPTIONS = {
    "errors": "Largest error of each agreement cell against the reference.",
    "error_budget": "Largest error of each agreement cell as a share of the bound that its row has to keep.",
    "near_lines": "Relative error near the singular lines α = 0, β = 0 and α + β = 0: the published formula, this "
    "project's reference, and the backends where they have been measured. The published code is right on a line only "
    "where the other parameter is 1.",
    "timings": "Time of the loss, forward and backward.",
    "methods": "Students by method and backend: a dot for each seed, mean ± standard error.",
    "accuracy_against_time": "Accuracy against time: epoch by epoch, and where the trainings ended.",
    "alpha_beta": "Test accuracy over (α, β), mean over seeds; the star is the best. It was chosen on the test images, "
    "so its figure is optimistic.",
    "parameters": "Test accuracy over the one parameter that was searched, mean ± standard error; the star is the best.",
    "concentration": "On which classes a gradient step at each (α, β) would work: size of the errors, confidence of "
    "the student, number of classes.",
}
# pairs and data sets whose frameworks are drawn over each other; such a figure takes most of a second
MOST_FRAMEWORK_FIGURES = 2


@dataclasses.dataclass
class Material:
    """What the sections are made of.

    Attributes:
        records: those that may stand beside each other; may be empty.
        metric: of the tables of methods.
        folder: where the figures go.
        helper: what checks the claims meanwhile.
        against: the tables of methods against a baseline, which the summary reads as well.
    """

    records: Comparable
    metric: str
    folder: Path
    helper: Background
    against: list[Table] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.records = Comparable.of(self.records)
        self.against = paired.tables(self.records, self.metric)

    @property
    def checked(self) -> list[tuple[claims.Claim, claims.Finding]]:
        """The claims with their findings; waits for them."""
        return self.helper.checked()

    def path(self, name: str) -> Path:
        """Where the figure of this name goes."""
        return self.folder / "figures" / f"{name}.png"

    def pictures(self, suite: str) -> list[Block]:
        """The figures of a suite's records, drawn and saved."""
        records = self.records.only(lambda record: record.suite == suite)
        blocks: list[Block] = []
        for name, draw in OF_INVOCATION.get(suite, ()) if records else ():
            figure = draw(records) if name != "near_lines" else None  # the helper draws it
            if figure is not None:
                path = style.save(figure, self.path(name))
                blocks.append(Picture(path, CAPTIONS[name]))
        return blocks


def summary(material: Material) -> list[Block]:
    """The main findings."""
    records = material.records
    if records:
        ended = max(record.finished for record in records)[:16].replace("T", " ")
        backends = ", ".join(dict.fromkeys(record.backend for record in records))
        head = f"{len(records)} cells of {backends}; the last ended {ended} UTC."
    else:
        head = "The store holds no records yet: `nox -s torch` (or jax, tensorflow) makes them."
    said = [
        *findings.students(material.against),
        *findings.left_out(records),
        *findings.endings(records),
        *findings.frameworks(records),
        *findings.speed(records),
        *findings.agreement(records),
        *findings.of_claims(material.checked),
    ]
    return [Text(head), Bullets(said)]


def agreement(material: Material) -> list[Block]:
    """Errors against the reference, and the frameworks against each other."""
    errors, steps = agreement_table.table(material.records), traces.table(material.records)
    blocks: list[Block] = [] if errors is None else [errors]
    blocks += material.pictures("agreement")
    if steps is not None:
        blocks.append(Folded("The same first training steps in two frameworks, number by number", (steps,)))
    return blocks


def speed(material: Material) -> list[Block]:
    """Timings of the loss, and images a second of the whole training."""
    tables = speed_tables.timings(material.records), speed_tables.throughput(material.records)
    return [*material.pictures("loss"), *(table for table in tables if table is not None)]


def distillation(material: Material) -> list[Block]:
    """Students: methods, data sets, differences to the baseline, searches, narrower types."""
    tables = [*methods.methods(material.records, material.metric), *material.against]
    tables += methods.data_sets(material.records, material.metric)
    tables += sweeps.tables(material.records, material.metric)
    narrow = precisions.table(material.records, material.metric)
    return [*material.pictures("distill"), *tables, *([] if narrow is None else [narrow])]


def frameworks_compared(material: Material) -> list[Block]:
    """The same cells in several frameworks: tables of all, figures of the first pairs and data sets."""
    blocks: list[Block] = [
        Picture(
            material.helper.draw(
                material.path(f"frameworks-{slug(title)}"), framework_figure.draw, title, cells, material.metric
            ),
            "The same cells in several frameworks: losses of every step, how far they lie apart, final figures by seed.",
        )
        for title, cells in list(framework_figure.chosen(material.records).items())[:MOST_FRAMEWORK_FIGURES]
    ]
    tables = frameworks.tables(material.records, material.metric), framework_steps.tables(material.records)
    return [*blocks, *(table for group in tables for table in group)]


def beside_the_paper(material: Material) -> list[Block]:
    """Published figures and ours, where records are of a pair that has some."""
    table = published.table(material.records)
    return [] if table is None else [table]


def error_maps(material: Material) -> list[Block]:
    """Where formulas lose their digits: known without any record."""
    path = material.helper.draw(material.path("near_lines"), near_lines.draw, near_lines.measured(material.records))
    return [Picture(path, CAPTIONS["near_lines"])]


def claims_checked(material: Material) -> list[Block]:
    """A table for each group of claims, folded: there are many."""
    blocks: list[Block] = []
    for group in dict.fromkeys(claim.group for claim, _ in material.checked):
        pairs = [(claim, finding) for claim, finding in material.checked if claim.group == group]
        rows = [
            [_mark(finding), claim.statement, f"{finding.figure:.3g}: {finding.meaning}", finding.remark, claim.source]
            for claim, finding in pairs
        ]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in claims.counts(pairs).items() if count)
        frame = pandas.DataFrame(rows, columns=["verdict", "claim", "figure", "what is true", "source"])
        blocks.append(Folded(f"{group} ({counts})", (Sentences(Table(group, frame)),)))
    return blocks


def environment(material: Material) -> list[Block]:
    """What the records were measured on."""
    return [*environment_table.tables(material.records)]


def _mark(finding: claims.Finding) -> str:
    return finding.verdict if finding.verdict == claims.HOLDS else f"**{finding.verdict}**"


# heading and content of each section, in the order of the report: what the user measured first, what is known without it last
SECTIONS: tuple[tuple[str, Callable[[Material], list[Block]]], ...] = (
    ("Distillation", distillation),
    ("Beside the paper", beside_the_paper),
    ("Frameworks side by side", frameworks_compared),
    ("Speed", speed),
    ("Agreement", agreement),
    ("Environment", environment),
    ("Claims", claims_checked),
    ("Near the singular lines", error_maps),
)
