"""Digests that say whether a cell has been measured already.

The result key covers what decides a cell's result: the cell, its recipe, the data, the code that computes it, the
determinism flags and the thread count. The timing key adds hardware and library versions.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suites.cell import Cell

# parts of the names under which a backend's `describe` gives settings that change results
DECISIVE = ("thread", "determin", "tf32", "precision", "x64", "flags")


def digest(material: Any) -> str:
    """Digest of plain data: 32 hexadecimal digits, the same in every process and on every machine."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} is not plain data and cannot be part of a key")


def decisive_settings(description: Mapping[str, str]) -> dict[str, str]:
    """Those entries of a backend's `describe` that change results: threads, determinism, precision."""
    return {name: value for name, value in description.items() if any(part in name.lower() for part in DECISIVE)}


@dataclass(frozen=True)
class Decided:
    """What decides a cell's result.

    Attributes:
        code: digest of each file that computes it (`suites.sources.code`).
        other: digest of all else: cell, recipe, data, settings.
    """

    code: Mapping[str, str]
    other: str

    @classmethod
    def by(cls, cell: Cell, recipe: Mapping[str, Any], code: Mapping[str, str], description: Mapping[str, str]) -> "Decided":
        """Of a cell.

        Args:
            cell: what is measured.
            recipe: everything else that is data: numbers of the recipe, digest of the data set, the teacher's.
            code: digests of the files that compute the result.
            description: the backend's `describe`.
        """
        material = {"suite": cell.suite, "cell": cell.as_dict(), "recipe": dict(recipe)}
        return cls(code, digest(material | {"settings": decisive_settings(description)}))

    @property
    def key(self) -> str:
        """Key of the result."""
        return digest({"code": dict(self.code), "other": self.other})

    def plain(self) -> dict[str, Any]:
        """For the record's details, so that a later plan can say what has changed since."""
        return {"code": dict(self.code), "other": self.other}


def result_key(cell: Cell, recipe: Mapping[str, Any], code: Mapping[str, str], description: Mapping[str, str]) -> str:
    """Key of a cell's result; see `Decided.by`."""
    return Decided.by(cell, recipe, code, description).key


def timing_key(key: str, description: Mapping[str, str], environment: Mapping[str, Any]) -> str:
    """Key of a cell's timings: the result key, the backend's whole description, hardware and library versions.

    The commit and anything else that names the state of this project is left out: the result key covers the sources.
    So are the clocks and the load at the moment (`now.…`), which are never twice the same.
    """
    surroundings = {
        name: value for name, value in environment.items() if not name.startswith(("git", "version.mlflow", "now."))
    }
    return digest({"key": key, "description": dict(description), "environment": surroundings})
