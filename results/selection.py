"""Which records a command looks at: `--backend torch`, `--where scale=smoke,small --where method!=sft`."""

import argparse
from difflib import get_close_matches
from typing import Any

from results.records.record import Record

# what a cell means by not naming a field
UNSAID = {"precision": "float32", "repeat": 0}
# values that a message lists
_LISTED = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that all commands on records share."""
    parser.add_argument("--store", help="folder of the records (default: $ABKD_STORE, else results/store of the clone)")
    parser.add_argument("--backend", help="only this backend; several with commas")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE]",
        help="only cells whose field has one of these values (scale=smoke, method=kd,abkd, …), or with != none of them; "
        "may be repeated",
    )


def parse(arguments: argparse.Namespace) -> dict[str, set[str]]:
    """The selection as field to allowed values; a field with "!" behind it to values that are not.

    Raises:
        ValueError: a --where without "=".
    """
    where: dict[str, set[str]] = {}
    for text in arguments.where:
        field, sign, values = text.partition("=")
        if not sign or not field or not values:
            raise ValueError(f"--where {text!r}: write FIELD=VALUE or FIELD=VALUE,VALUE, such as scale=smoke.")
        where.setdefault(field.strip(), set()).update(value.strip() for value in values.split(","))
    if arguments.backend:
        where["backend"] = {value.strip() for value in arguments.backend.split(",")}
    return where


def matches(suite: str, backend: str, cell: dict[str, Any], where: dict[str, set[str]]) -> bool:
    """Whether a cell has an allowed value in every selected field; numbers compare as numbers (0.80 is 0.8)."""
    fields = {**UNSAID, **cell, "suite": suite, "backend": backend}
    return all(
        any(_same(fields.get(name.removesuffix("!")), text) for text in values) != name.endswith("!")
        for name, values in where.items()
    )


def describe_field(records: list[Record], name: str) -> str:
    """Which values a field has among records, for a message: what a selection that matches nothing could have meant."""
    cells = ({**UNSAID, **record.cell, "suite": record.suite, "backend": record.backend} for record in records)
    values = sorted({str(cell[name]) for cell in cells if cell.get(name) is not None})
    if not values:
        fields = sorted({"suite", "backend", *UNSAID, *(field for record in records for field in record.cell)})
        near = get_close_matches(name, fields, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"no cell has a field {name!r}{hint}; there are {', '.join(fields)}"
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return f"{name} is there with {', '.join(values[:_LISTED])}{more}"


def select(records: list[Record], where: dict[str, set[str]]) -> list[Record]:
    """The records whose cells match."""
    return [record for record in records if matches(record.suite, record.backend, record.cell, where)]


def _same(value: Any, text: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return value is not None and str(value) == text
