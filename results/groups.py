"""What decides a result, read off its record: which records may be put together, and which not.

One mean, one training: nothing else in `results` decides it. Of several states of the code the newest counts, other data
or another teacher make a section of their own, other numbers of the recipe a row (`results.grouping`).
"""

import datetime
import functools
import hashlib
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

from results import checks
from results.records.record import Record, Status, identity
from results.words import field_words

Item = TypeVar("Item")

# what makes a section beside the pair
SHARED = ("dataset", "scale", "dtype", "precision", "teacher_weights")
UNKNOWN = "unknown"
# parts of the names of a backend's settings that change results; the number of threads changes the order of sums only
_DECISIVE = ("determin", "tf32", "precision", "x64")
# files whose digest is of the rows in use, so that it differs from method to method (`suites.sources.TABLES`)
TABLES = {"methods.py", "catalogue.py", "classification.py", "combinations.py", "mixtures.py", "metrics.py"}
TABLES |= {"implementations.py"}
# entries of a teacher's first row of logits that tell its weights from others
_LOGITS = 16


class Group(NamedTuple):
    """What decides a record's result besides its seed.

    Attributes:
        fields: suite, backend, cell and numbers of the recipe, as one string.
        data: digest of the data; "by seed" where each seed draws its own.
        teacher: digest of what the teacher says of the first test example: other weights say something else.
        settings: those of the backend that change results by more than the order of sums.
        code: digest of each file that computed it; the commit, in records that know no more.
    """

    fields: str
    data: str
    teacher: str
    settings: tuple[tuple[str, str], ...]
    code: frozenset[tuple[str, str]]


def group_of(record: Record) -> Group:
    """What decides a record's result besides its seed: figures may be averaged where, and only where, this is the same.

    What a record does not say is "unknown", which is a value of its own.
    """
    data, environment = inner(record.details, "data"), record.environment
    prefixed = ((name.removeprefix("backend."), value) for name, value in environment.items() if name.startswith("backend."))
    settings = ((name, str(value)) for name, value in prefixed if any(part in name for part in _DECISIVE))
    return Group(
        identity({**fields(record), "suite": record.suite, "backend": record.backend}, ("seed",)),
        "by seed" if data.get("drawn_by_seed") else str(data.get("digest", UNKNOWN)),
        _teacher(inner(record.details, "logits").get("teacher")),
        tuple(sorted(settings)),
        _code(record),
    )


def fields(record: Record) -> dict[str, Any]:
    """The cell with the numbers of its recipe; of a training that ended well without any, that they are unknown.

    A number of the recipe that contradicts the cell stands beside it: such a record was written by hand.
    """
    recipe, cell = inner(record.details, "recipe"), record.cell
    described = {**recipe, **cell}
    if record.suite == "distill" and not recipe and record.status == Status.OK:
        described["recipe"] = UNKNOWN
    against = {f"recipe.{name}": value for name, value in recipe.items() if name in cell and value != cell[name]}
    return described | against


def commit(record: Record) -> str:
    """The state of the clone that computed a record, as short as people name it; "" where it does not say."""
    environment = record.environment
    return str(environment.get("git_commit", ""))[:7] + ("+changes" if environment.get("git_dirty") else "")


def inner(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within the details; empty where it is not there, or something else is."""
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _teacher(logits: Any) -> str:
    """A digest of a teacher's logits of one example, so coarse that no rounding shows."""
    if not isinstance(logits, list) or not logits or not isinstance(logits[0], list):
        return UNKNOWN
    try:
        text = " ".join(f"{float(value):.1f}" for value in logits[0][:_LOGITS])
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN
    return hashlib.sha256(text.replace("-0.0", "0.0").encode()).hexdigest()[:6]


def _code(record: Record) -> frozenset[tuple[str, str]]:
    """(file, digest) of what computed a record; of a table the rows that its method uses."""
    files = inner(inner(record.details, "decided"), "code")
    if not files:
        return frozenset([("commit", commit(record))])
    method = str(record.cell.get("method"))
    parts = ((f"{name} for {method}" if PurePosixPath(name).name in TABLES else name, str(of)) for name, of in files.items())
    return frozenset([("commit", "in its files"), *parts])


class Comparable(list[Record]):
    """Those of some records that may stand in one table: of each training the newest, all of the newest code.

    Attributes:
        groups: what decides each of them, by its `id`.
        titles: section of each, by its `id`: pair, data set, scale, dtype, precision, given teacher; and data, teacher or
            settings where several are there.
        left_out: section to how many records of other code have no successor of the newest.
    """

    groups: dict[int, Group]
    titles: dict[int, str]
    left_out: dict[str, int]
    # what `cell_of` has answered: thousands of records are of a few hundred cells
    _cells: dict[tuple[str, tuple[str, ...]], str]

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Comparable":
        """The comparable ones; of records that have been through here all."""
        if isinstance(records, cls):
            return records
        every = newest_trainings(filter(_is_sound, records))
        kept, others = [], []
        for part in grouped(every, lambda pair: _place(pair[0])).values():
            newest, older = _newest_code(part)
            kept, others = kept + newest, others + older
        there = {(r.backend, identity(r.cell)) for r, _ in kept} if others else set()
        lost = [section_words(r) for r, _ in others if (r.backend, identity(r.cell)) not in there]
        order = {id(record): place for place, (record, _) in enumerate(every)}
        kept.sort(key=lambda pair: order[id(pair[0])])
        self = cls(record for record, _ in kept)
        self._cells = {}
        self.groups = {id(record): group for record, group in kept}
        self.titles = _titles(kept)
        self.left_out = {title: lost.count(title) for title in dict.fromkeys(lost)}
        return self

    def only(self, condition: Callable[[Record], bool]) -> "Comparable":
        """Those that fulfil a condition, with the same titles."""
        part = Comparable(record for record in self if condition(record))
        part.groups, part.titles, part.left_out, part._cells = self.groups, self.titles, self.left_out, self._cells
        return part

    def cell_of(self, record: Record, without: tuple[str, ...]) -> str:
        """The fields of a record without its seed and some others, as one comparable string."""
        place = self.groups[id(record)].fields, without
        if place not in self._cells:
            self._cells[place] = identity(fields(record), ("seed", *without))
        return self._cells[place]

    def of_one_code(self, group: list[Record]) -> list[Record]:
        """Those records of several backends whose code is the newest, in the files that backends share."""
        newest, _ = _newest_code([(record, self.groups[id(record)]) for record in group])
        return [record for record, _ in newest]

    def note(self, title: str) -> str:
        """What a table of this section says of records that it does not show; "" where there are none."""
        shown = [record for record in self if self.titles[id(record)] == title]
        count = sum(self.left_out.get(section, 0) for section in {section_words(record) for record in shown})
        if not count:
            return ""
        states = sorted({commit(record) for record in shown} - {""})
        newest = f" ({', '.join(states)})" if states else ""
        records = "1 record" if count == 1 else f"{count} records"
        return f" Left out: {records} of other code than the newest{newest}; `--where commit=…` chooses it."


def _is_sound(record: Record) -> bool:
    """Whether a record can be shown; one that was written by hand and cannot is named in a warning."""
    problem = checks.problem(record)
    if problem:
        warnings.warn(f"left out record {record.key} of {record.suite}: {problem}.", stacklevel=4)
    return not problem


def newest_trainings(records: Iterable[Record]) -> list[tuple[Record, Group]]:
    """Of the records of one cell, recipe, data, teacher, settings and code the one that finished last, with its group."""
    chosen: dict[tuple[Any, ...], tuple[Record, Group]] = {}
    for record in sorted(records, key=finished):
        group = group_of(record)
        chosen[(*group, str(record.cell.get("seed")))] = (record, group)
    # one that failed before it knew its recipe is no training of its own
    unsure = {id(r) for r, _ in chosen.values() if r.status != Status.OK and not inner(r.details, "recipe")}
    last = {(r.suite, r.backend, identity(r.cell)): id(r) for r, _ in chosen.values()} if unsure else {}
    newest = set(last.values())
    return [pair for pair in chosen.values() if id(pair[0]) not in unsure or id(pair[0]) in newest]


def finished(record: Record) -> str:
    """When a record ended, for sorting; "" where it does not say, or says a time that has not been yet."""
    when = record.finished if isinstance(record.finished, str) else ""
    return when if when < _day_after(int(time.time() / 3600)) else ""


@functools.cache
def _day_after(hour: int) -> str:
    """A day after this hour since 1970, as records write it."""
    return (datetime.datetime.fromtimestamp(3600 * hour, datetime.UTC) + datetime.timedelta(days=1)).isoformat()


def _place(record: Record) -> tuple[str, ...]:
    """Records that one table may average or pair within a backend: of them only one state of the code counts."""
    names = ("pair", "dataset", "scale", "dtype", "teacher_weights", "device")
    return record.suite, str(record.backend), *(str(record.cell.get(name)) for name in names)


def _newest_code(part: list[tuple[Record, Group]]) -> tuple[list[tuple[Record, Group]], list[tuple[Record, Group]]]:
    """(those of the newest code, the others): two methods are of one code where the files that both have are the same."""
    state: dict[str, str] = {}
    fits: dict[frozenset[tuple[str, str]], bool] = {}
    for _, group in sorted(part, key=lambda pair: finished(pair[0]), reverse=True):
        if group.code not in fits:
            fits[group.code] = same_code(state, group)
            if fits[group.code]:
                state |= group.code
    return [pair for pair in part if fits[pair[1].code]], [pair for pair in part if not fits[pair[1].code]]


def same_code(state: dict[str, str], group: Group) -> bool:
    """Whether a group's files, as far as others have been used too, said the same; `state` is of file to digest."""
    return all(state.get(name, digest) == digest for name, digest in group.code)


def _titles(kept: list[tuple[Record, Group]]) -> dict[int, str]:
    """Section of each record by its `id`: that of its cell, and what else tells groups of this section apart."""
    titles = {}
    for section, part in grouped(kept, lambda pair: section_words(pair[0])).items():
        columns = grouped(part, lambda pair: (pair[0].backend, pair[0].cell.get("device"))).values()
        # one that did not end well says less, and adds no figure: it stands with the newest
        said = [_said(column) for column in columns]
        data = {words[0] for column in said for words in column.values()}
        teachers = any(len({words[1] for words in column.values()}) > 1 for column in said)
        settings = any(len({words[2] for words in column.values()}) > 1 for column in said)
        for column in said:
            for place, (of_data, teacher, of_settings) in column.items():
                words = [section]
                words += [f"data {of_data[:6]}"] if len(data) > 1 else []
                words += [f"teacher {teacher}"] if teachers else []
                words += [" ".join(f"{name}={value}" for name, value in of_settings) or UNKNOWN] if settings else []
                titles[place] = ", ".join(words)
    return titles


def _said(column: list[tuple[Record, Group]]) -> dict[int, tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Data, teacher and settings of the records of one backend, by `id`."""
    newest = [group for record, group in sorted(column, key=lambda pair: finished(pair[0])) if record.status == Status.OK]
    usual = newest[-1] if newest else None
    said = {}
    for record, group in column:
        words = (group.data, group.teacher, group.settings)
        if usual is not None and record.status != Status.OK:
            words = tuple(own if own not in (UNKNOWN, ()) else of for own, of in zip(words, usual[1:4], strict=True))
        said[id(record)] = words
    return said


def section_words(record: Record) -> str:
    """The section of a record as its cell names it."""
    return field_words(record, "pair", *SHARED)


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Records, or anything else, by key, in the order of their first."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
