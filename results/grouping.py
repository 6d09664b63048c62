"""Which records may be put together, and how tables name them: by section, row and column.

One mean, one training: what decides a result besides the seed is read off a record by `group_of`, and nothing else in
`results` decides it. Of several states of the code the newest counts, other data or another teacher make a section of
their own, other numbers of the recipe a row.
"""

import dataclasses
import datetime
import functools
import hashlib
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

from results import checks, metrics
from results.records.record import Record, Status, identity
from results.significance.means import mean_and_error
from results.words import backend_order, field_words, method_label

Item = TypeVar("Item")

TRACE_SCALE = "trace"
TEACHER = "teacher"

# what tells sections and columns apart, or is averaged over; any other field of a cell tells rows apart.
APART = ("seed", "backend", "device", "method", "pair", "dataset", "scale", "dtype", "precision", "repeat", "teacher_weights")
_SHARED = ("dataset", "scale", "dtype", "precision", "teacher_weights")
UNKNOWN = "unknown"
# numbers of a training that are no method's own, also where the command line chose them and the cell names them
TRAINING = {"epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "warm_up_steps", "schedule", "milestones"}
TRAINING |= {"decay", "pad", "flip", "steps", "recipe"}
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
    data, environment = _dict(record.details, "data"), record.environment
    prefixed = ((name.removeprefix("backend."), value) for name, value in environment.items() if name.startswith("backend."))
    settings = ((name, str(value)) for name, value in prefixed if any(part in name for part in _DECISIVE))
    return Group(
        identity({**fields(record), "suite": record.suite, "backend": record.backend}, ("seed",)),
        "by seed" if data.get("drawn_by_seed") else str(data.get("digest", UNKNOWN)),
        _teacher(_dict(record.details, "logits").get("teacher")),
        tuple(sorted(settings)),
        _code(record),
    )


def fields(record: Record) -> dict[str, Any]:
    """The cell with the numbers of its recipe; of a training that ended well without any, that they are unknown.

    A number of the recipe that contradicts the cell stands beside it: such a record was written by hand.
    """
    recipe, cell = _dict(record.details, "recipe"), record.cell
    described = {**recipe, **cell}
    if record.suite == "distill" and not recipe and record.status == Status.OK:
        described["recipe"] = UNKNOWN
    against = {f"recipe.{name}": value for name, value in recipe.items() if name in cell and value != cell[name]}
    return described | against


def commit(record: Record) -> str:
    """The state of the clone that computed a record, as short as people name it; "" where it does not say."""
    environment = record.environment
    return str(environment.get("git_commit", ""))[:7] + ("+changes" if environment.get("git_dirty") else "")


def _dict(holder: dict[str, Any], name: str) -> dict[str, Any]:
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
    files = _dict(_dict(record.details, "decided"), "code")
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
    unsure = {id(r) for r, _ in chosen.values() if r.status != Status.OK and not _dict(r.details, "recipe")}
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
    return field_words(record, "pair", *_SHARED)


def sections(records: list[Record]) -> dict[str, list[Record]]:
    """Students by section (`Comparable.titles`), each section with its teacher at its head.

    Traces and repeats are left out. Where there are teachers only, each is a section of its own.
    """
    comparable = Comparable.of(records)
    kept = [r for r in comparable if r.suite == "distill" and counts(r)]
    teachers = grouped([r for r in kept if r.cell.get("method") == TEACHER], section_words)
    students = grouped([r for r in kept if r.cell.get("method") != TEACHER], lambda r: comparable.titles[id(r)])
    shared = [name for name in _SHARED if name != "precision"]
    for section in students.values():
        # A teacher's pair is its own name; it is shown above each student that learns from it.
        teacher = str(section[0].cell.get("pair")).partition(":")[0]
        # it is trained in float32, also for students of another precision
        section[:0] = teachers.get(", ".join(filter(None, [teacher, field_words(section[0], *shared)])), [])
    return students or grouped(kept, lambda r: comparable.titles[id(r)])


def student_sections(records: list[Record]) -> dict[str, list[Record]]:
    """The sections without their teachers; those that hold nothing else are left out."""
    students = {title: [r for r in group if r.cell.get("method") != TEACHER] for title, group in sections(records).items()}
    return {title: group for title, group in students.items() if group}


def alike(records: list[Record], searched: bool = False) -> dict[str, list[Record]]:
    """The student sections by the numbers of their training: what may be compared seed by seed, or drawn in one figure.

    Args:
        records: what to compare.
        searched: numbers that the command line chose are no condition but what is compared, as in a search.
    """
    parts = {}
    for title, students in student_sections(records).items():
        names = training_numbers(students, searched)
        own = {id(record): _numbers(record, names) for record in students}
        ended = sorted((r for r in students if r.status == Status.OK), key=finished)
        for record in students:  # one that failed before it knew its recipe stands with the newest
            if ended and record.status != Status.OK and not _dict(record.details, "recipe"):
                own[id(record)] = own[id(ended[-1])]
        for words, part in grouped(students, lambda r, own=own: own[id(r)]).items():
            parts[", ".join([title, *words])] = part
    return parts


def variants(records: list[Record], separator: str = " ") -> dict[str, list[Record]]:
    """Trainings by what a figure calls them: the method, and all else that makes two of them different things.

    Of the section those words that are not the same everywhere, a precision and a teacher in any case.
    """
    comparable = Comparable.of(records)
    names: dict[int, str] = {}
    kept = [r for r in comparable if r.suite == "distill" and counts(r)]
    for part in grouped(kept, lambda r: r.cell.get("method") == TEACHER).values():
        words = {id(r): comparable.titles[id(r)].split(", ") for r in part}
        shared = set.intersection(*map(set, words.values()))
        for section in grouped(part, lambda r: comparable.titles[id(r)]).values():
            labels = Labels.of(section)
            for r in section:
                apart = [word for word in words[id(r)] if word not in shared or word.startswith(("mixed ", "teacher "))]
                names[id(r)] = separator.join([labels.row(r), *apart])
    return grouped(kept, lambda r: names[id(r)])


def training_numbers(students: list[Record], searched: bool = False) -> list[str]:
    """The numbers of the training, apart from the methods' own, in which students differ."""
    of_method = {name for record in students for name in record.cell} - TRAINING
    names = varying(students, {*APART, *of_method})
    if not searched:
        return names
    chosen = {name for r in students for name, source in _dict(r.details, "sources").items() if source == "command line"}
    return [name for name in names if name not in chosen and not any(name in r.cell for r in students)]


def numbers(group: list[Record]) -> dict[str, Any]:
    """The parameters and numbers of the recipe that all records of a group share: columns of a table of plain numbers."""
    first = fields(group[0])
    kept = {name: value for name, value in first.items() if name not in APART and not isinstance(value, (dict, list))}
    others = [fields(record) for record in _unlike(group) if record.status == Status.OK]
    return {name: value for name, value in kept.items() if all(repr(own.get(name)) == repr(value) for own in others)}


def _numbers(record: Record, names: list[str]) -> tuple[str, ...]:
    own = fields(record) if names else {}
    return tuple(f"{name}={own[name]}" for name in names if own.get(name) is not None)


@dataclasses.dataclass(frozen=True)
class Labels:
    """How a table names the records that it shows; made of all of them, as a label says what tells them apart.

    Attributes:
        fields: label of a method to the parameters in which its records differ.
        on_devices: backends that ran on several devices.
    """

    fields: dict[str, list[str]]
    on_devices: set[str]

    @classmethod
    def of(cls, records: list[Record]) -> "Labels":
        """The labels of a table of these records."""
        shared = training_numbers([r for r in records if r.cell.get("method") != TEACHER])
        names = {}
        for label, group in grouped(records, method_label).items():
            own = varying(group, (*APART, "alpha", "beta") if "(" in label else APART)
            names[label] = own if group[0].cell.get("method") == TEACHER else sorted({*own, *shared})
        by_backend = grouped(records, lambda record: record.backend)
        return cls(names, {name for name, group in by_backend.items() if len({r.cell.get("device") for r in group}) > 1})

    def row(self, record: Record) -> str:
        """The method, and those parameters in which records of that method differ."""
        label = method_label(record)
        return " ".join([label, *_numbers(record, self.fields[label])])

    def column(self, record: Record) -> str:
        """The backend, with the device where it ran on several."""
        return f"{record.backend} ({record.cell.get('device')})" if record.backend in self.on_devices else record.backend

    def rows(self, records: list[Record]) -> list[str]:
        """The rows of these records in the order in which tables show them."""
        return list(dict.fromkeys(row for _, row in sorted((_method_order(r), self.row(r)) for r in records)))

    def columns(self, records: list[Record]) -> list[str]:
        """The columns of these records in the order in which tables show them."""
        return backend_order({self.column(record) for record in records})

    def fill(self, records: list[Record]) -> dict[tuple[str, str], list[Record]]:
        """The records of each (row, column)."""
        return grouped(records, lambda record: (self.row(record), self.column(record)))

    def by_column(self, records: list[Record]) -> dict[str, list[Record]]:
        """The records of each column, in the order of the columns."""
        groups = grouped(records, self.column)
        return {column: groups[column] for column in backend_order(groups)}


def _unlike(group: Iterable[Record]) -> list[Record]:
    """One record of those that differ in their seed alone: of thousands a few are left to look at."""
    seen: dict[Any, Record] = {}
    for record in group:
        recipe = _dict(record.details, "recipe")
        cell = tuple({**record.cell, "seed": None}.items())
        try:
            seen.setdefault((record.status == Status.OK, cell, tuple(recipe.items())), record)
        except TypeError:  # lists are among the numbers
            seen.setdefault((record.status == Status.OK, repr(cell), repr(recipe)), record)
    return list(seen.values())


def varying(group: list[Record], without: Collection[str] = APART) -> list[str]:
    """Fields and numbers of the recipe in which a group differs, in the order of their names.

    Args:
        group: records of any suite.
        without: fields that do not count.
    """
    values: dict[str, set[str]] = {}
    different = _unlike(group)
    every = [fields(record) for record in different]
    names = sorted({name for own in every for name in own} - set(without))
    for record, own in zip(different, every, strict=True):
        known = _dict(record.details, "recipe")
        for name in names:
            # what a record without a recipe does not say is no other value
            if name in own or known:
                values.setdefault(name, set()).add(repr(own.get(name)))
    return [name for name in names if len(values[name]) > 1]


def counts(record: Record) -> bool:
    """Whether a training is a result of its own: neither a trace, nor a repeat that only shows what rounding does."""
    return record.cell.get("scale") != TRACE_SCALE and not record.cell.get("repeat")


def mean_text(values: list[float], group: list[Record]) -> str:
    """`0.9712 ± 0.0011`, and how many cells of the group ended otherwise."""
    failures = grouped([r for r in group if r.status != Status.OK], lambda r: r.status)
    suffix = "".join(f", {len(records)} {status}" for status, records in failures.items())
    if not values:
        return suffix.removeprefix(", ") or "—"
    mean, error = mean_and_error(values)
    digits = 4 if abs(mean) < 10 else 2
    text = f"{mean:.{digits}f} ± {error:.{digits}f}" if math.isfinite(error) else f"{mean:.{digits}f}"
    return text + suffix


def finite(group: Iterable[Record], metric: str) -> list[float]:
    """The finite figures of the cells that ended well."""
    values = (r.metrics.get(metric) for r in group if r.status == Status.OK)
    return [value for value in values if value is not None and math.isfinite(value)]


def by_seed(group: Iterable[Record], metric: str) -> dict[Any, float]:
    """Seed to the finite figure of each cell that ended well; of one setting, whose seeds are all different."""
    return {record.cell.get("seed"): value for record in group for value in finite([record], metric)}


def shared_seeds(of_settings: list[set[Any]]) -> set[Any]:
    """The seeds over which settings of a search are compared: each counts over the same ones.

    As many figures as possible are used, of at least half of the settings that have any: neither one setting with further
    seeds nor one that is behind decides what the others are judged by.

    Args:
        of_settings: the seeds of each setting that ended well.

    Returns:
        Seeds that some settings all have; empty where none has any.
    """
    of_settings = [seeds for seeds in of_settings if seeds]
    counts_of = Counter(seed for seeds in of_settings for seed in seeds)
    often = sorted(counts_of, key=lambda seed: (-counts_of[seed], str(seed)))
    choices = [*({*often[:count]} for count in range(1, len(often) + 1)), *of_settings]
    having = [sum(choice <= seeds for seeds in of_settings) for choice in choices]
    enough = min(len(of_settings) / 2, max(having, default=0))
    scored = [(count * len(choice), count, choice) for choice, count in zip(choices, having, strict=True) if count >= enough]
    return max(scored, key=lambda item: item[:2], default=(0, 0, set()))[2]


def best_of(settings: dict[Item, dict[Any, float]], metric: str) -> Item:
    """The setting whose mean over the seeds that they share is the best; `settings` are of setting to figures by seed."""
    seeds = shared_seeds([set(values) for values in settings.values()])
    alike = [setting for setting, values in settings.items() if seeds <= values.keys()]
    return metrics.find(metric).best(alike, key=lambda s: math.fsum(settings[s][seed] for seed in seeds))


def seed_words(seeds: Iterable[Any]) -> str:
    """`seed 3`, `seeds 0 to 9`, `seeds 0, 2, 5`."""
    ordered = sorted(seeds, key=lambda seed: (not isinstance(seed, int), str(seed).zfill(20)))
    if len(ordered) == 1:
        return f"seed {ordered[0]}"
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[0] + len(ordered))):
        return f"seeds {ordered[0]} to {ordered[-1]}"
    return f"seeds {', '.join(map(str, ordered))}"


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Records, or anything else, by key, in the order of their first."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _method_order(record: Record) -> tuple[int, str]:
    known = [TEACHER, "sft", "kd", "rkld"]
    method = str(record.cell.get("method"))
    return (known.index(method) if method in known else len(known), method_label(record))
