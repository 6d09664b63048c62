"""How records of students are grouped and named in tables: by section, row and column."""

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from results import metrics
from results.groups import SHARED, Comparable, Item, fields, finished, grouped, inner, section_words
from results.groups import group_of as group_of
from results.records.record import Record, Status
from results.significance.means import mean_and_error
from results.words import backend_order, field_words, method_label

TRACE_SCALE = "trace"
TEACHER = "teacher"

# what tells sections and columns apart, or is averaged over; any other field of a cell tells rows apart.
APART = ("seed", "backend", "device", "method", "pair", "dataset", "scale", "dtype", "precision", "repeat", "teacher_weights")
# numbers of a training that are no method's own, also where the command line chose them and the cell names them
TRAINING = {"epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "warm_up_steps", "schedule", "milestones"}
TRAINING |= {"decay", "pad", "flip", "steps", "recipe"}


def sections(records: list[Record]) -> dict[str, list[Record]]:
    """Students by section (`Comparable.titles`), each section with its teacher at its head.

    Traces and repeats are left out. Where there are teachers only, each is a section of its own.
    """
    comparable = Comparable.of(records)
    kept = [r for r in comparable if r.suite == "distill" and counts(r)]
    teachers = grouped([r for r in kept if r.cell.get("method") == TEACHER], section_words)
    students = grouped([r for r in kept if r.cell.get("method") != TEACHER], lambda r: comparable.titles[id(r)])
    shared = [name for name in SHARED if name != "precision"]
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
            if ended and record.status != Status.OK and not inner(record.details, "recipe"):
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
    chosen = {name for r in students for name, source in inner(r.details, "sources").items() if source == "command line"}
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
        recipe = inner(record.details, "recipe")
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
        known = inner(record.details, "recipe")
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


def _method_order(record: Record) -> tuple[int, str]:
    known = [TEACHER, "sft", "kd", "rkld"]
    method = str(record.cell.get("method"))
    return (known.index(method) if method in known else len(known), method_label(record))
