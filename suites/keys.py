"""Digests that say whether a cell has been measured already.

The result key covers what decides a cell's result: the cell, its recipe, the data, the source files that compute it,
the determinism flags and the thread count. The timing key adds hardware and library versions.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from results.places import CLONE
from suites.cell import Cell

ROOT = CLONE
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


def source_files(*patterns: str) -> tuple[Path, ...]:
    """Files of this project that match the patterns, relative to its root and sorted.

    Raises:
        ValueError: a pattern matches nothing, so that a renamed file cannot drop out of the keys unnoticed.
    """
    found: set[Path] = set()
    for pattern in patterns:
        matching = [path for path in ROOT.glob(pattern) if path.is_file()]
        if not matching:
            raise ValueError(f"pattern={pattern!r} matches no file under {ROOT}; name the files that compute the result")
        found.update(matching)
    return tuple(sorted(found))


@cache
def source_digest(paths: tuple[Path, ...]) -> str:
    """Digest of the files' names and contents."""
    state = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        state.update(f"{path.relative_to(ROOT).as_posix()}\0{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()[:32]


def decisive_settings(description: Mapping[str, str]) -> dict[str, str]:
    """Those entries of a backend's `describe` that change results: threads, determinism, precision."""
    return {name: value for name, value in description.items() if any(part in name.lower() for part in DECISIVE)}


def result_key(cell: Cell, recipe: Mapping[str, Any], sources: Iterable[Path], description: Mapping[str, str]) -> str:
    """Key of a cell's result.

    Args:
        cell: what is measured.
        recipe: everything else that is data: numbers of the recipe, digest of the data set, key of the teacher.
        sources: files that compute the result.
        description: the backend's `describe`.
    """
    return digest(
        {
            "suite": cell.suite,
            "cell": cell.as_dict(),
            "recipe": dict(recipe),
            "sources": source_digest(tuple(sources)),
            "settings": decisive_settings(description),
        }
    )


def timing_key(key: str, description: Mapping[str, str], environment: Mapping[str, Any]) -> str:
    """Key of a cell's timings: the result key, the backend's whole description, hardware and library versions.

    The commit and anything else that names the state of this project is left out: the result key covers the sources.
    So are the clocks and the load at the moment (`now.…`), which are never twice the same.
    """
    surroundings = {
        name: value for name, value in environment.items() if not name.startswith(("git", "version.mlflow", "now."))
    }
    return digest({"key": key, "description": dict(description), "environment": surroundings})
