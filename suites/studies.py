"""Study files: a command, or several selections of one, as TOML, in the words of the command line.

    backend = "torch"
    plugin = ["my_file.py"]

    [[selection]]
    suites = ["distill"]
    method = ["kd", "abkd"]
    set = { learning_rate = [0.1, 0.05], teacher.epochs = 50 }

An entry is an option without its dashes; what stands above the selections holds for all of them. A file without selections
is one. Paths are seen from the file's folder.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from results import atomic

SELECTION, SUITES = "selection", "suites"
# options whose values are paths
PATHS = ("plugin", "teacher-weights")
# options that a study does not have: they say what is done with one
NO_ENTRIES = ("help", "list", "study", "write-study")
# options of a run that another run of the same study need not have
_NOT_WRITTEN = (*NO_ENTRIES, "plugin", "plan", "store", "no-mlflow", "redo", "accept-other-code")
_LARGEST_FILE = 2**20
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class StudyError(ValueError):
    """A study cannot be used; the message names the file, the entry, and what is allowed."""


@dataclass(frozen=True)
class Part:
    """One selection of a command.

    Attributes:
        words: as `suites.typed` puts them.
        place: where they stand, for messages; "" for the command line.
    """

    words: tuple[str, ...]
    place: str = ""


def read(path: Path, parser: argparse.ArgumentParser) -> list[Part]:
    """The selections of a study.

    Raises:
        StudyError: the file cannot be read, is no TOML, or holds an entry that is no option or no value of one.
    """
    content = _content(path)
    selections = content.pop(SELECTION, None)
    if selections is None:
        return [Part(tuple(_words(content, path, str(path), parser)), str(path))]
    if not isinstance(selections, list) or not selections or not all(isinstance(entry, dict) for entry in selections):
        raise StudyError(f"{path}: {SELECTION!r} is no table of an array; write [[{SELECTION}]] above the entries of each")
    parts = []
    for number, selection in enumerate(selections, start=1):
        place = f"{path}, selection {number}"
        merged = content | selection
        if isinstance(content.get("set"), dict) and isinstance(selection.get("set"), dict):
            merged["set"] = _flat(content["set"]) | _flat(selection["set"])
        parts.append(Part(tuple(_words(merged, path, place, parser)), place))
    return parts


def _content(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise StudyError(f"study {path} is not there; name a file that --write-study wrote, or one like it")
        if path.stat().st_size > _LARGEST_FILE:
            raise StudyError(f"study {path} has {path.stat().st_size:,} bytes; at most {_LARGEST_FILE:,} are allowed")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"study {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"study {path} is no TOML: {' '.join(str(error).split())[:200]}") from error


def _words(entries: Mapping[str, Any], path: Path, place: str, parser: argparse.ArgumentParser) -> Iterable[str]:
    """The words that a selection's entries stand for."""
    known = {name.removeprefix("--"): action for name, action in parser._option_string_actions.items() if name[:2] == "--"}
    known = {name: action for name, action in known.items() if name not in NO_ENTRIES}
    for key, value in entries.items():
        name = key.replace("_", "-")
        if name == SUITES:
            yield from _scalars(value, f"{place}: {key}")
        elif name not in known:
            near = get_close_matches(name.lower(), [SUITES, SELECTION, *known], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {SUITES}, {', '.join(known)}"
            raise StudyError(f"{place}: the entry {key!r} is not known; {hint}")
        elif name == "set":
            yield from _settings(value, f"{place}: {key}")
        elif isinstance(value, bool) and known[name].nargs in (0, "?"):
            yield from [f"--{name}"] if value else []
        elif known[name].nargs == 0:
            raise StudyError(f"{place}: {key} is {value!r}; true or false is allowed")
        elif name in PATHS:
            yield from (f"--{name}={path.parent / Path(word).expanduser()}" for word in _scalars(value, f"{place}: {key}"))
        else:
            yield f"--{name}={','.join(_scalars(value, f'{place}: {key}'))}"


def _settings(value: Any, place: str) -> Iterable[str]:
    if not isinstance(value, dict):
        raise StudyError(f"{place} is {value!r}; a table is allowed, such as set = {{ epochs = 10, teacher.epochs = 50 }}")
    for name, values in _flat(value).items():
        words = _scalars(values, f"{place}.{name}", may_be_bool=True)
        yield f"--set={name}={','.join(words)}"


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Names with the tables that they stand in: `teacher.epochs`."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def _scalars(value: Any, place: str, may_be_bool: bool = False) -> list[str]:
    """A value or a list of them as words."""
    words = []
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, bool) and may_be_bool:
            words.append(str(entry).lower())
        elif isinstance(entry, (str, int, float)) and not isinstance(entry, bool):
            words.append(str(entry))
        else:
            raise StudyError(f"{place} is {value!r}; a number, a word or a list of them is allowed")
    return words


def write(path: Path, selections: Sequence[Sequence[str]], backend: str, plugins: Iterable[Path]) -> None:
    """Write the study of a run.

    Args:
        path: of the file; replaced where it is there.
        selections: words of each, as `suites.typed` puts them.
        backend: of the run.
        plugins: files that it has loaded.

    Raises:
        StudyError: the file cannot be written.
    """
    tables = [_table(words, path) | {"backend": backend} for words in selections]
    shared = {name: value for name, value in tables[0].items() if all(table.get(name) == value for table in tables)}
    files = [_seen_from(path, str(file)) for file in plugins]
    lines = [f"# python -m suites --study {path.name}", *_lines(shared | ({"plugin": files} if files else {}))]
    if len(tables) > 1:
        for table in tables:
            own = {name: value for name, value in table.items() if name not in shared}
            lines += ["", f"[[{SELECTION}]]", *_lines(own)]
    try:
        atomic.write(path, "\n".join([*lines, ""]))
    except OSError as error:
        raise StudyError(
            f"write-study {str(path)!r} cannot be written: {error.strerror or error}; name another file"
        ) from error


def _table(words: Iterable[str], path: Path) -> dict[str, Any]:
    """Entries that stand for words."""
    table: dict[str, Any] = {}
    for word in words:
        option, has_value, value = word.partition("=")
        name = option.removeprefix("--")
        if not option.startswith("--"):
            table.setdefault(SUITES, []).append(word)
        elif name == "set":
            setting, _, typed = value.partition("=")
            table.setdefault(name, {})[setting.strip()] = _value(typed)
        elif name in PATHS and name not in _NOT_WRITTEN:
            table[name] = _seen_from(path, value)
        elif name not in _NOT_WRITTEN:
            table[name] = _value(value) if has_value else True
    return table


def _seen_from(study: Path, path: str) -> str:
    """A path as a study names it: from its folder, where it lies below that."""
    whole, folder = Path(path).expanduser().absolute(), study.absolute().parent
    return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()


class _Typed(str):
    """A number as it was typed."""


def _value(text: str) -> Any:
    words = [_Typed(word.strip()) if _NUMBER.fullmatch(word.strip()) else word.strip() for word in text.split(",")]
    return words if len(words) > 1 else words[0]


def _lines(table: Mapping[str, Any]) -> list[str]:
    order = sorted(table, key=lambda name: (name != "backend", name != SUITES))
    return [f"{name} = {_toml(table[name])}" for name in order]


def _toml(value: Any) -> str:
    if value is True:
        return "true"
    if isinstance(value, dict):
        inner = (f"{name if _BARE_KEY.fullmatch(name) else _toml(name)} = {_toml(entry)}" for name, entry in value.items())
        return f"{{ {', '.join(inner)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # a string of JSON is one of TOML but for the one control character that JSON leaves as it is
    return str(value) if isinstance(value, _Typed) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
