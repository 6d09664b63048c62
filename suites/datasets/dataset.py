"""What a data set is: a row that says where it lies, how to get it, and what is known of it without reading it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

THERE, INCOMPLETE, NOT_THERE = "there", "incomplete", "not there"


class DatasetError(RuntimeError):
    """A data set cannot be used; the message names the file, what was found, what is expected and the next step."""


class DatasetMissing(DatasetError):
    """A data set is not there, or not all of it."""


@dataclass(frozen=True)
class Presence:
    """Whether a data set is there, by a look at its files' names and sizes.

    Attributes:
        state: `THERE`, `INCOMPLETE` or `NOT_THERE`.
        detail: what is missing, or where it lies.
    """

    state: str
    detail: str = ""


def nothing_to_find(folder: Path) -> Presence:
    """Presence of a data set that is part of the installation."""
    return Presence(THERE, "in every installation")


class Data(Protocol):
    """What loading gives: a type of the data set's task, with this for those who know no task.

    Attributes:
        name: what users type.
        source: where the data come from; says "stand-in" or names the subset.
        stand_in: whether embedded data takes the place of the data set of this name.
        digest: of all content; asked for only where it lies in no files.
    """

    name: str
    source: str
    stand_in: bool
    digest: str

    def described(self) -> dict[str, Any]:
        """Counts, for records."""
        ...

    # A type may also have `checked(place, facts)`, which gives the data back, or raises a `DatasetError` where an array is
    # not what its task needs; `suites.datasets.load` calls it.


@dataclass(frozen=True)
class Dataset:
    """A row of the table of data sets.

    Attributes:
        name: what users type.
        title: what its authors call it.
        task: a name in `suites.tasks.TASKS`.
        get: how to get it and where to put it, below the data folder.
        presence: data folder → whether it is there.
        facts: scale → what is known without reading it: of images `input_shape` and `classes`.
        load: scale, seed of the draw of its training part → its content; None where its loader is not built yet.
        files: scale → the files that it is read from; none of them where it comes with an installation.
        digest: scale → digest of what `load` gives; None takes that of the files, or of what is loaded where there are none.
        drawn: whether the seed changes what `load` gives.
        fetch: (data folder, address or None, whether to draw a bar) → downloads it; None where its upstream has no file
            that can be fetched.
    """

    name: str
    title: str
    task: str
    get: str
    presence: Callable[[Path], Presence] = nothing_to_find
    facts: Callable[[str], Mapping[str, Any]] = lambda scale: {}
    load: Callable[[str, int | None], Data] | None = None
    files: Callable[[str], tuple[Path, ...]] = lambda scale: ()
    digest: Callable[[str], str] | None = None
    drawn: bool = False
    fetch: Callable[[Path, str | None, bool], None] | None = None
