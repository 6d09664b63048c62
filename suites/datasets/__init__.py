"""Data sets by name: one file here for each that can be loaded, and one table of all.

`python -m suites.datasets list` shows which are there and how to get the others.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from suites.datasets import cifar100, digests, digits, others
from suites.datasets.dataset import THERE, Dataset, DatasetError, DatasetMissing
from suites.datasets.places import data_folder

# every data set of the paper, in its order, after the one that is in every installation
TABLE: dict[str, Dataset] = {
    row.name: row for row in (digits.DATASET, *others.DATASETS[:5], cifar100.DATASET, *others.DATASETS[5:])
}

# their loaders raise what they say; those of a user's file may raise anything
_OWN = frozenset(TABLE.values())


def built() -> tuple[str, ...]:
    """Names of those that can be loaded."""
    return tuple(name for name, row in TABLE.items() if row.load is not None)


def get(name: str) -> Dataset:
    """The row of a data set that can be loaded.

    Raises:
        ValueError: there is none of this name; the message lists the known ones.
    """
    if name not in TABLE or TABLE[name].load is None:
        state = "built yet; built so far:" if name in TABLE else "known; choose one of"
        raise ValueError(f"dataset={name!r} is not {state} {', '.join(built())}")
    return TABLE[name]


# the largest has 184 MB: what a command uses stays, what many tests use does not pile up
@lru_cache(maxsize=4)
def load(name: str, scale: str = "smoke", seed: int | None = None) -> Any:
    """Load a data set: `Data` of the type that its task has.

    Args:
        name: one of `built()`.
        scale: "smoke", "small" or "paper": a stand-in, a subset, or all of it, where the data set makes that difference.
        seed: of the draw of its training part, where the data set draws one.

    Raises:
        ValueError: the name or the scale is not known; the message lists the known ones.
        suites.datasets.dataset.DatasetMissing: it is not on this machine; the message says how to get it.
        suites.datasets.dataset.DatasetError: it is damaged.
    """
    row = get(name)
    place = f"data set {name!r}"
    if row not in _OWN and row.files(scale):
        place += f" ({', '.join(map(str, row.files(scale)))})"
    try:
        data = row.load(scale, seed)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # whatever the user's code raises is one sentence
        if row in _OWN:
            raise
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(
            f"{place} cannot be loaded: {type(error).__name__}: {reason}. Check its file and its loader"
        ) from error
    checked = getattr(data, "checked", None)
    return data if checked is None else checked(place, row.facts(scale))


def check_given(name: str, scale: str, seed: int | None = None) -> None:
    """Load a data set that a user's file has added once, to see before anything runs whether it is one.

    Raises:
        As `load`.
    """
    row = get(name)
    if row not in _OWN:
        problem = _problem(row, scale, seed, tuple(map(_state, row.files(scale))))
        if problem:
            raise DatasetError(problem)


@lru_cache(maxsize=64)
def _problem(row: Dataset, scale: str, seed: int | None, states: tuple[Any, ...]) -> str:
    """Why a data set cannot be used; kept, since many cells ask."""
    try:
        load(row.name, scale, seed)
    except DatasetError as error:
        return str(error)
    return ""


def _state(path: Path) -> tuple[str, int, int]:
    """What changes with a file."""
    status = os.stat(path)
    return str(path), status.st_size, status.st_mtime_ns


def digest(name: str, scale: str, seed: int | None = None) -> str:
    """Digest of what `load` reads: of the data set's files, which are not loaded for it, or of embedded content.

    Raises:
        As `load`.
    """
    row = get(name)
    if row.digest is not None:
        return row.digest(scale)
    files = row.files(scale)
    return digests.of_files(files) if files else load(name, scale, seed).digest


def check_presence(name: str, scale: str) -> None:
    """Look whether the files that a data set is read from are there.

    Raises:
        ValueError: the name or the scale is not known.
        suites.datasets.dataset.DatasetMissing: they are not; the message says how to get them.
    """
    row = get(name)
    if row.files(scale):
        presence = row.presence(data_folder())
        missing = [str(path) for path in row.files(scale) if not path.is_file()]
        if presence.state != THERE or missing:
            detail = f"no file {missing[0]}" if presence.state == THERE else presence.detail
            raise DatasetMissing(f"{row.title} is not there ({detail}). To get it: {row.get}")
