"""Which records are of the code that the gate stands in: those whose key is the key that their cell has today.

The keys are the suites' business, and nothing in `results` imports them; so today's are asked of `python -m suites.present`,
once for all records. Times differ with the machine, so that of the loss suite only the code is compared.
"""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

from results import groups
from results.escaping import shortened
from results.grouping import grouped
from results.places import CLONE
from results.records.record import Record, identity

COMMAND = ("-m", "suites.present")
_SECONDS = 600
# of changed files, how many are named
_MOST_FILES = 3

Answers = list[dict[str, Any]]


class PresentError(ValueError):
    """Today's code cannot be read; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The record of each cell that counts.

    Attributes:
        records: one a cell; one of today's code, if there is any, and of several the one that finished last.
        stale: why a record does not count, by its suite, backend and key.
    """

    records: list[Record]
    stale: dict[tuple[str, str, str], str]


def choose(records: list[Record], accept_other_code: bool, ask: Callable[[list[Record]], Answers] | None = None) -> Chosen:
    """One record of each cell.

    Args:
        records: any number of each cell.
        accept_other_code: whether records of the same cell, recipe and data count though other code has computed them.
        ask: what decides the results of these records today, in their order; None for `asked_of_suites`.
    """
    timely = [record for record in records if _is_timely(record)]
    answers = (ask or asked_of_suites)(timely)
    reasons = [_why_not(record, answer, accept_other_code) for record, answer in zip(timely, answers, strict=True)]
    others = [_why_not(record, answer, False) for record, answer in zip(timely, answers, strict=True)]
    # from the one that counts least: of other recipes, accepted, of today's code
    order = sorted(range(len(timely)), key=lambda i: (not reasons[i], not others[i], timely[i].finished))
    of_cell = {(timely[i].suite, timely[i].backend, identity(timely[i].cell)): i for i in order}
    chosen = sorted(of_cell.values(), key=lambda i: timely[i].finished)
    places = {(timely[i].suite, timely[i].backend, timely[i].key): reasons[i] for i in chosen if reasons[i]}
    return Chosen([timely[i] for i in chosen], places)


def asked_of_suites(records: list[Record]) -> Answers:
    """What `suites.present` answers.

    Raises:
        PresentError: the command fails.
    """
    if not records:
        return []
    questions = [
        {
            "suite": record.suite,
            "cell": record.cell,
            "description": {n.partition(".")[2]: v for n, v in record.environment.items() if n.startswith("backend.")},
        }
        for record in records
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(CLONE), os.environ.get("PYTHONPATH", ""))))}
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            cwd=CLONE,
            env=environment,
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        trouble = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    except (OSError, ValueError, RecursionError, subprocess.TimeoutExpired) as error:
        trouble = f"{type(error).__name__}: {error}"
    raise PresentError(
        f"What decides results in the code of {CLONE} cannot be read (`python {' '.join(COMMAND)}`: {shortened(trouble)}), so "
        "no record can be told from one of other code. Run the gate from a whole clone, `nox -s gate`."
    )


def describe(records: list[Record]) -> str:
    """Which commits were judged, for the last line: `torch: 65 records of 1a2b3c4`."""
    parts = []
    for (backend, commit), group in grouped(records, lambda record: (record.backend, _commit(record))).items():
        parts.append(f"{backend}: {len(group)} record{'s' if len(group) > 1 else ''} of {commit}")
    return "; ".join(parts)


def _commit(record: Record) -> str:
    commit = shortened(record.environment.get("git_commit") or "no commit", 12)
    return f"{commit}, changed" if record.environment.get("git_dirty") else commit


def _is_timely(record: Record) -> bool:
    """Whether a record's clock can be believed; says so where it cannot."""
    if not record.finished or groups.finished(record):
        return True
    warnings.warn(
        f"left out {record.suite}/{record.key}: it says that it finished at {shortened(record.finished, 40)!r}, which lies "
        "ahead. Correct the clock and run the cell again.",
        stacklevel=3,
    )
    return False


def _why_not(record: Record, today: dict[str, Any], accept: bool) -> str:
    """Why a record is not one of today's code; "" where it is, or is accepted."""
    if "error" in today:
        return f"is of a cell that today's code does not know ({shortened(today['error'])})"
    if record.key == today.get("key"):
        return ""
    then = record.details.get("decided")
    if not isinstance(then, dict) or not isinstance(then.get("code"), dict):
        if not accept:
            return "was made by an earlier version, which did not note by what code; --accept-other-code takes it as it is"
        return _other_numbers(record, today)
    if then.get("other") != today.get("other", then.get("other")):
        return "has another recipe, other data or another teacher than today's"
    differ = sorted(name for name in then["code"] | today["code"] if then["code"].get(name) != today["code"].get(name))
    if accept or ("key" not in today and not differ):
        return _other_numbers(record, today)
    if not differ:
        return "has a key that does not fit what it says it was made by"
    more = f" and {len(differ) - _MOST_FILES} more" if len(differ) > _MOST_FILES else ""
    files = ", ".join(map(shortened, differ[:_MOST_FILES]))
    return f"was made by other code ({files}{more} changed); --accept-other-code takes it as it is"


def _other_numbers(record: Record, today: dict[str, Any]) -> str:
    """Whether the numbers of a record's recipe and the digest of its data, where both sides know them, are today's."""
    recipe, data = record.details.get("recipe"), record.details.get("data")
    if isinstance(recipe, dict):
        differ = [name for name, value in today.get("recipe", {}).items() if recipe.get(name, value) != value]
        if differ:
            return f"has another recipe than today's ({', '.join(differ)})"
    if isinstance(data, dict) and "data" in today and data.get("digest", today["data"]) != today["data"]:
        return "has other data than today's"
    return ""
