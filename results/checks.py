"""What a record must hold so that tables and figures can show it; one that was written by hand may hold anything."""

import math
from typing import Any

from results.records.record import Record

_WORDS = ("backend", "invocation", "message", "timing_key", "started", "finished")
_NUMBERS = ("alpha", "beta", "temperature", "rows", "classes", "repeat")
_DISTILL = ("method", "pair", "dataset", "scale", "dtype")
# parts of the details that are objects of their own
_OBJECTS = ("recipe", "sources", "data", "logits", "decided", "samples_s", "trace", "step_losses", "error_map")


def problem(record: Record) -> str:
    """What in a record is of a wrong type, as words; "" where nothing is."""
    for name in _WORDS:
        if not isinstance(getattr(record, name), str):
            return f"{name} is no text"
    cell, details = record.cell, record.details
    for holder, values, check, wanted in (
        ("cell", cell, _is_scalar, "word or number"),
        ("cell", {name: cell[name] for name in _NUMBERS if name in cell}, _is_number, "number"),
        ("metrics", record.metrics, _is_number, "number that fits a float"),
        ("curves", record.curves, _is_curve, "list of numbers"),
        ("environment", record.environment, _is_scalar, "word or number"),
        ("environment", {"now.load": record.environment.get("now.load")}, _is_number, "number"),
        ("details", {name: details[name] for name in _OBJECTS if name in details}, _is_object, "object"),
        ("details.recipe", details.get("recipe") or {}, _is_plain, "word, number or list"),
    ):
        if check in _USUAL and _USUAL[check].issuperset(map(type, values.values())):
            continue  # in one step: thousands of records are looked at
        for name, value in values.items():
            if not check(value):
                return f"{holder}.{name} is no {wanted}"
    if record.suite == "distill":
        seed = cell.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool):
            return "cell.seed is no whole number"
        for name in _DISTILL:
            if cell.get(name) is not None and not isinstance(cell[name], str):
                return f"cell.{name} is no word"
    return ""


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _is_number(value: Any) -> bool:
    if value is None or isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and math.log2(max(abs(value), 1)) < 1000


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and (_USUAL[_is_number].issuperset(map(type, value)) or all(map(_is_number, value)))


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_plain(value: Any) -> bool:
    return _is_scalar(value) or (isinstance(value, list) and all(map(_is_scalar, value)))


# types whose values all pass
_USUAL = {_is_scalar: {str, int, float, bool, type(None)}, _is_number: {float, type(None)}, _is_object: {dict}}
