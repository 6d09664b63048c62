"""What became of records that were to go to MLflow."""

import dataclasses

NEXT_STEP = "`nox -s sync` (or `python -m results sync`) sends them later"


@dataclasses.dataclass
class Sent:
    """What became of the records.

    Attributes:
        sent: records that are new in MLflow.
        known: records that it had already.
        left_out: records of cells that could not run, which get no run of their own.
        queued: records that it did not get.
        uri: the tracking URI.
        refused: why single records stay queued, a line each.
        problem: why records stay queued, in one line; "" where none do.
        remarks: what was left out of those that were sent, a line each.
    """

    sent: int = 0
    known: int = 0
    left_out: int = 0
    queued: int = 0
    uri: str = ""
    refused: list[str] = dataclasses.field(default_factory=list)
    problem: str = ""
    remarks: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        if self.problem:
            return f"{self.problem} {self.queued} records stay in the store; {NEXT_STEP}."
        left_out = f", {self.left_out} of cells that could not run left out" if self.left_out else ""
        remarks = "".join(f"\n{remark}" for remark in dict.fromkeys(self.remarks))
        return f"MLflow {self.uri}: {self.sent} records sent, {self.known} already there{left_out}.{remarks}"
