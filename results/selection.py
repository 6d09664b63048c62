"""Which records a command looks at: `--backend torch`, `--where scale=smoke,small --where method!=sft`."""

import argparse
import math
import reprlib
from difflib import get_close_matches
from typing import Any

from results.groups import commit
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
        help="only cells whose field, or number of the recipe, has one of these values (scale=smoke, method=kd,abkd, "
        "epochs=20, …), or with != none of them; may be repeated",
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
            raise ValueError(f"--where {reprlib.repr(text)}: write FIELD=VALUE or FIELD=VALUE,VALUE, such as scale=smoke.")
        where.setdefault(field.strip(), set()).update(value.strip() for value in values.split(","))
    if arguments.backend:
        where["backend"] = {value.strip() for value in arguments.backend.split(",")}
    return where


def fields_of(record: Record) -> dict[str, Any]:
    """What a record can be selected by: the cell, the numbers of its recipe, its suite, backend, status and commit."""
    own = {**UNSAID, **record.described, "suite": record.suite, "backend": record.backend, "status": str(record.status)}
    return own | {"commit": commit(record) or None}


def matches(suite: str, backend: str, cell: dict[str, Any], where: dict[str, set[str]]) -> bool:
    """Whether a cell has an allowed value in every selected field; numbers compare as numbers (0.80 is 0.8)."""
    return _fits({**UNSAID, **cell, "suite": suite, "backend": backend}, where)


def _fits(fields: dict[str, Any], where: dict[str, set[str]]) -> bool:
    return all(
        any(_same(fields.get(name.removesuffix("!")), text) for text in values) != name.endswith("!")
        for name, values in where.items()
    )


def describe_field(records: list[Record], name: str) -> str:
    """Which values a field has among records, for a message: what a selection that matches nothing could have meant."""
    every = [fields_of(record) for record in records]
    values = sorted({str(fields[name]) for fields in every if fields.get(name) is not None}, key=_order)
    if not values:
        fields = sorted({field for of_record in every for field, value in of_record.items() if value is not None})
        near = get_close_matches(name, fields, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"no cell has a field {reprlib.repr(name)}{hint}; there are {', '.join(fields)}"
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return f"{name} is there with {', '.join(values[:_LISTED])}{more}"


def select(records: list[Record], where: dict[str, set[str]]) -> list[Record]:
    """The records that match, by their cells or the numbers of their recipes.

    Raises:
        ValueError: a field that no record has, in a condition that would leave out none (`!=`).
    """
    if not where:
        return records
    every = [fields_of(record) for record in records]
    known = {name for fields in every for name in fields}
    unknown = [name.removesuffix("!") for name in where if name.endswith("!") and name.removesuffix("!") not in known]
    if unknown and records:
        raise ValueError(f"--where {unknown[0]}!=…: {describe_field(records, unknown[0])}.")
    return [record for record, fields in zip(records, every, strict=True) if _fits(fields, where)]


def unknown_values(records: list[Record], where: dict[str, set[str]]) -> list[str]:
    """A sentence for each selected value that no record has, with what is there; the others are selected all the same."""
    sentences = []
    for name, values in where.items():
        field = name.removesuffix("!")
        there = [fields_of(record).get(field) for record in records]
        missing = sorted(text for text in values if not any(_same(value, text) for value in there))
        if missing:
            words = ", ".join(map(reprlib.repr, missing))
            sentences.append(f"No record has {field} {words}: {describe_field(records, field)}.")
    return sentences


def _order(text: str) -> tuple[float, str]:
    """Numbers by their size, before words."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _same(value: Any, text: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return value is not None and str(value) == text
