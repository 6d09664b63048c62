"""What decides the results of cells today: `python -m suites.present` answers for the cells on its standard input.

The gate asks it, by this command and not by an import, since nothing in `results` knows a suite: a record is of the code
that it is judged in where its key is today's. In: a JSON list of {"suite", "cell", "description"}, the last being what the
backend described when the record was made, so that other thread counts are no other code. Out: a list of `today`'s.
"""

import json
import sys
from typing import Any

from suites import plugins
from suites.agreement.suite import SUITE as AGREEMENT
from suites.cell import Cell, options
from suites.distill import cells
from suites.distill.suite import SUITE as DISTILL
from suites.loss.suite import SUITE as LOSS
from suites.suite import Context

SUITES = {suite.name: suite for suite in (AGREEMENT, LOSS, DISTILL)}
_ATTRIBUTES = ("backend", "pair", "dataset", "method", "seed", "scale", "dtype", "device", "precision", "repeat")


def today(suite: str, cell: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """What decides a cell's result in the code that this is.

    Returns:
        `code`, a digest of each file; of trainings the numbers of the `recipe` and the digest of the `data`; `other` and
        `key` (`suites.keys`), but for times, which hang on the machine, and where the data are not on this one. Or `error`,
        why nothing can be said.
    """
    try:
        asked = cell_of(suite, cell)
        found: dict[str, Any] = {"code": dict(SUITES[suite].code(asked))}
        if suite == LOSS.name:
            return found
        context = Context(asked.backend, harness=None, store=None, device=asked.device, description=description)
        if suite == DISTILL.name:
            training = cells.resolve(asked, context)
            found["recipe"] = training.recipe.flat()
            if training.data_digest == cells.MISSING:
                return found
            found["data"] = training.data_digest
        decided = SUITES[suite].decided(asked, context)
        return found | {"other": decided.other, "key": decided.key}
    except Exception as error:  # a record may name anything; whatever that leads to is an answer about this record alone
        return {"error": f"{type(error).__name__}: {error}"}


def cell_of(suite: str, described: dict[str, Any]) -> Cell:
    """The cell that a record describes (`Cell.as_dict`)."""
    attributes = {name: described[name] for name in _ATTRIBUTES if described.get(name) is not None}
    others = {name: value for name, value in described.items() if name not in _ATTRIBUTES}
    return Cell(suite, options=options(**others), **attributes)


def main() -> None:
    """Answer what standard input asks."""
    plugins.load(plugins.chosen([]))
    json.dump([today(**question) for question in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
