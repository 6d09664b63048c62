"""The code that computes a result, read off the imports: which files it is, and a digest of what each of them says.

From a suite's `run` every import is followed, also those inside functions. Modules that are named by a string, such as
`f"suites.throughput.plain_{backend}"`, are followed like imports, with the backend at hand in the place of what is filled
in; `….harness.predict` leads to where the backend's harness has `predict` from. A name that a package's `__init__` only
passes on leads to the module that defines it. A file enters by its syntax tree: comments, docstrings and layout are not
in it.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from results.places import CLONE

# files that are neither in a key nor followed, and why
IRRELEVANT = {
    "backends/__init__.py": "names the backends and imports one",
    "results/places.py": "where files lie",
    "results/records/*.py": "how a result is written down",
    "results/atomic.py": "how a file is written",
    "suites/cell.py": "a cell is in its key as it is",
    "suites/suite.py": "what a suite is given and hands back; nothing is computed",
    "suites/keys.py": "makes keys",
    "suites/running/measuring.py": "notes how a cell ended",
    "suites/sources.py": "makes keys",
    "suites/plugins.py": "adds rows to tables; the files of a plugin whose row is used are in the key themselves",
    "suites/selection.py": "what the user asked for; what names mean is in the key by value",
    "suites/datasets/dataset.py": "what a row of the table of data sets is",
    "suites/datasets/digests.py": "a digest of the data is in the key by value",
    "suites/datasets/places.py": "where files lie",
    "suites/tasks/__init__.py": "the table of tasks; the one that is used is followed from its own functions",
    "suites/datasets/__init__.py": "the table of data sets; the one that is used is followed from its own `load`",
    "suites/distill/suite.py": "asks the module of a cell's role, from which the key starts",
    "suites/distill/cells.py": "which cells there are; recipe, data, networks and teacher are in the key by value",
    "suites/distill/recipes/*.py": "numbers, in the key by value",
    "suites/distill/networks.py": "networks by name, in the key by their specifications",
    "suites/distill/defaults.py": "what a selection leaves open; cells name all of it",
    "suites/distill/given.py": "names given weights by their content, which is in the key",
    "suites/distill/numbers.py": "numbers of a training that the user chose, in the key by value",
    "suites/distill/checkpoint.py": "a training that goes on ends as one that was not interrupted",
    "suites/distill/reporting.py": "hands the batches on as they are, and counts them",
}
# Files that are tables: of their functions, constants and rows only those enter that a cell or other code names, so
# that a new row changes no key of the others.
TABLES = (
    "backends/common/methods.py",
    "backends/*/losses/catalogue.py",
    "backends/*/losses/classification.py",
    "reference/catalogue.py",
    "reference/combinations.py",
    "reference/mixtures.py",
    "reference/exact/catalogue.py",
    "results/metrics.py",
    "suites/loss/implementations.py",
)
PACKAGES = ("backends", "reference", "results", "suites")
_MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")
_FILLED_IN = "{}"
_HARNESS = "harness"


def code(entries: Iterable[str | Callable], backend: str, words: Collection[str]) -> dict[str, str]:
    """Digest of each file that computes a result, by its path in the clone.

    Args:
        entries: names of modules, or functions of modules, to start from.
        backend: whose files are used; others are not followed.
        words: by which rows of tables are looked up, such as the cell's method.

    Raises:
        ValueError: something is imported, or asked of the harness, that is not there.
    """
    starts = tuple(entry if isinstance(entry, str) else _file_of(entry) for entry in entries)
    return dict(_code(starts, backend, frozenset(words).union(map(repr, words))))


def _file_of(function: Callable) -> str:
    """The file that a function or class, or what a partial one calls, is written in."""
    return sys.modules[getattr(function, "func", function).__module__].__file__


@cache
def _code(entries: tuple[str, ...], backend: str, words: frozenset[str]) -> tuple[tuple[str, str], ...]:
    mentioned = _mentioned(entries, backend, words)
    reached = (read(path) for path in walk(entries, backend))
    return tuple(sorted((source.name, source.digest(mentioned)) for source in reached))


def _mentioned(entries: tuple[str, ...], backend: str, words: frozenset[str]) -> frozenset[str]:
    """All words by which rows of tables are used: what a row that is used mentions is used too."""
    mentioned = words | _always_mentioned(entries, backend)
    tables = [source for source in map(read, walk(entries, backend)) if source.is_table]
    left = [statement for source in tables for statement in source.statements if statement.names]
    while used := [statement for statement in left if not mentioned.isdisjoint(statement.names)]:
        left = [statement for statement in left if mentioned.isdisjoint(statement.names)]
        mentioned = mentioned.union(*(statement.words for statement in used))
    return mentioned


@cache
def _always_mentioned(entries: tuple[str, ...], backend: str) -> frozenset[str]:
    """Words of all that is reached but for the rows of tables."""
    every = (statement for path in walk(entries, backend) for statement in read(path).always)
    return frozenset().union(*(statement.words for statement in every))


@cache
def walk(entries: tuple[str, ...], backend: str) -> tuple[Path, ...]:
    """All files that the entries import, directly or not, but for those that are irrelevant."""
    waiting = [path for entry in entries for path in _entry(entry)]
    reached: dict[Path, None] = {}
    while waiting:
        path = waiting.pop()
        if path in reached or irrelevant(path):
            continue
        reached[path] = None
        source = read(path)
        for module, name in source.imports:
            if _FILLED_IN not in module or _file(module.replace(_FILLED_IN, backend)):
                waiting += targets(module.replace(_FILLED_IN, backend), name)
        for name in source.of_harness:
            waiting += targets(f"backends.{backend}.harness", name)
    return tuple(reached)


def irrelevant(path: Path) -> str:
    """Why a file is not followed; empty where it is."""
    name = name_of(path)
    return next((reason for pattern, reason in IRRELEVANT.items() if fnmatch(name, pattern)), "")


def name_of(path: Path) -> str:
    """A file as keys name it: its path in the clone, or its folder and name where it lies elsewhere."""
    inside = path.is_relative_to(CLONE)
    return path.relative_to(CLONE).as_posix() if inside else f"{path.parent.name}/{path.name}"


def _entry(entry: str) -> list[Path]:
    return [Path(entry)] if entry.endswith(".py") else targets(entry, None)


def targets(module: str, name: str | None) -> list[Path]:
    """The files that an import of `name` from `module` leads to; of the module itself where there is no name.

    Raises:
        ValueError: this project has no such module, or the package does not have that name.
    """
    path = _file(module)
    if path is None:
        raise ValueError(f"module={module!r} is not in {CLONE}; the code that computes a result cannot be read")
    if name is None or path.name != "__init__.py":
        return [path]
    if name == "*":
        return [path]
    inside = _file(f"{module}.{name}")
    if inside is not None:
        return [inside]
    package = read(path)
    if package.defines(name):
        return [path]
    for source, passed_on in package.imports:
        if passed_on == name:
            return targets(source, name)
    for source, passed_on in package.imports:
        if passed_on == "*" and read(_file(source)).defines(name):
            return [_file(source)]
    raise ValueError(f"{module} has no {name!r}; the code that computes a result cannot be read")


@cache
def _file(module: str) -> Path | None:
    folder = CLONE.joinpath(*module.split("."))
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)


@dataclass(frozen=True)
class Statement:
    """A statement of a file, or a row of a table in it.

    Attributes:
        names: what it does nothing but define, the row's own name in quotation marks; None where it does more.
        words: names, attributes and strings in it, the latter also in quotation marks, by which it may use other statements.
        text: its syntax tree.
    """

    names: frozenset[str] | None
    words: frozenset[str]
    text: str


@dataclass(frozen=True)
class Source:
    """A file of code.

    Attributes:
        name: its path in the clone.
        is_table: whether only those of its statements enter a key that are used.
        statements: in their order.
        bound: each name that an import binds, as a statement; in a key where any code mentions it.
        imports: (module, name) of this project's; None or "*" for all of the module.
        of_harness: names that are asked of a backend's harness.
    """

    name: str
    is_table: bool
    statements: tuple[Statement, ...]
    bound: tuple[Statement, ...]
    imports: tuple[tuple[str, str | None], ...]
    of_harness: frozenset[str]

    @property
    def always(self) -> Iterator[Statement]:
        """Statements that enter every key that the file enters."""
        return (statement for statement in self.statements if not self.is_table or statement.names is None)

    def defines(self, name: str) -> bool:
        """Whether the name is made in this file."""
        return any(statement.names is not None and name in statement.names for statement in self.statements)

    def digest(self, mentioned: frozenset[str]) -> str:
        """16 hexadecimal digits of what is used of it."""
        state = hashlib.sha256()
        choice = self.bound + (self.statements if self.is_table else ())
        used = {id(statement) for statement in choice if statement.names and not mentioned.isdisjoint(statement.names)}
        used |= {id(statement) for statement in self.always}
        for statement in (*self.bound, *self.statements):
            if id(statement) in used:
                state.update(statement.text.encode())
        return state.hexdigest()[:16]


@cache
def read(path: Path) -> Source:
    """Parse a file."""
    tree = ast.parse(path.read_bytes(), str(path))
    package = path.relative_to(CLONE).parent.parts if path.is_relative_to(CLONE) else ()
    is_table = any(fnmatch(name_of(path), pattern) for pattern in TABLES)
    reading = _Reading(package, {}, set())
    statements, bound = [], []
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            reading.imports.update(dict.fromkeys(_imported(node, package)))
            bound += _bound(node)
        elif not (isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"):
            statements += _statements(node, is_table, reading)
    in_order = sorted(bound, key=lambda statement: statement.text)
    return Source(
        name_of(path), is_table, tuple(statements), tuple(in_order), tuple(reading.imports), frozenset(reading.of_harness)
    )


@dataclass(frozen=True)
class _Reading:
    """What is collected of a file beside its statements; see `Source`."""

    package: tuple[str, ...]
    imports: dict[tuple[str, str | None], None]
    of_harness: set[str]


def _imported(node: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """(module, name) of this project's that a node imports or names by a string."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] in PACKAGES)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join((*above, *filter(None, (node.module,))))
        if module.split(".")[0] in PACKAGES:
            yield from ((module, alias.name) for alias in node.names)
    elif isinstance(node, ast.JoinedStr):
        module = "".join(part.value if isinstance(part, ast.Constant) else _FILLED_IN for part in node.values)
        if _MODULE.fullmatch(module.replace(_FILLED_IN, "_")):
            yield module, None
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        module = node.value.partition(":")[0]  # of "module:function"
        if _MODULE.fullmatch(module) and _file(module) is not None:
            yield module, None


def _is_harness(node: ast.expr) -> bool:
    return getattr(node, "id", getattr(node, "attr", None)) == _HARNESS


def _bound(node: ast.Import | ast.ImportFrom) -> Iterator[Statement]:
    """A statement for each name that an import binds."""
    origin = f"{'.' * node.level}{node.module or ''}" if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        names = None if alias.name == "*" else frozenset((alias.asname or alias.name.split(".")[0],))
        yield Statement(names, frozenset(), f"import {origin} {alias.name} {alias.asname}")


def _statements(node: ast.stmt, is_table: bool, reading: _Reading) -> Iterator[Statement]:
    """A statement; of a table its rows, and what is left of it without them."""
    names = _defined(node)
    if _is_text(node) or (names and "__all__" in names):
        return
    rows = {id(row): name for row, name in _rows(node)} if is_table and names else {}
    for row in ast.walk(node) if rows else ():
        if id(row) in rows:
            yield _statement(row, frozenset((repr(rows[id(row)]),)), {}, reading)  # rows are looked up by strings
    yield _statement(node, names, rows, reading)


def _statement(node: ast.AST, names: frozenset[str] | None, left_out: dict[int, str], reading: _Reading) -> Statement:
    parts: list[str] = []
    words: set[str] = set()
    _flatten(node, parts, words, left_out, reading)
    return Statement(names, frozenset(words), "\n".join(parts))


def _flatten(node: ast.AST, parts: list[str], words: set[str], left_out: dict[int, str], reading: _Reading) -> None:
    """Collect a syntax tree's classes and values, without places, docstrings and the nodes that are left out."""
    kind = type(node)
    parts.append(kind.__name__)
    if kind is ast.Name:  # most nodes are of the first three kinds
        words.add(node.id)
        parts.append(node.id)
        return
    if kind is ast.Attribute:
        words.add(node.attr)
        parts.append(node.attr)
        if _is_harness(node.value) and not node.attr.startswith("__"):
            reading.of_harness.add(node.attr)
        _flatten(node.value, parts, words, left_out, reading)
        return
    if kind is ast.Constant:
        parts.append(repr(node.value))
        if isinstance(node.value, str):
            words.update((node.value, parts[-1]))
            reading.imports.update(dict.fromkeys(_imported(node, reading.package)))
        return
    if kind in (ast.JoinedStr, ast.Import, ast.ImportFrom):
        reading.imports.update(dict.fromkeys(_imported(node, reading.package)))
    for field in node._fields:
        value = getattr(node, field, None)
        if value is None or value == [] or field == "ctx":  # versions of Python differ in which fields there are
            continue
        parts.append(field)
        for item in value if isinstance(value, list) else (value,):
            if not isinstance(item, ast.AST):
                parts.append(repr(item))
            elif id(item) not in left_out and not _is_text(item):
                _flatten(item, parts, words, left_out, reading)
    parts.append("end")


def _is_text(node: ast.AST) -> bool:
    """Whether a node is a docstring, or another string that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _rows(table: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    """Rows with their names: calls of a class by their key in a dict, or else by their argument `name`, or first one."""
    named = {}
    for node in ast.walk(table):
        if isinstance(node, ast.Dict):
            named |= {id(value): key for key, value in zip(node.keys, node.values, strict=True)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id[0].isupper():
            arguments = [keyword.value for keyword in node.keywords if keyword.arg == "name"] or node.args or [None]
            name = named.get(id(node), arguments[0])
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node, name.value


def _defined(node: ast.stmt) -> frozenset[str] | None:
    """Names that a statement does nothing but define."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset((node.name,))
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    flat = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return frozenset(name.id for name in flat) if flat and all(isinstance(name, ast.Name) for name in flat) else None
