"""Environments for the sessions of noxfile.py, under .nox/ of the clone: made when first needed, and anew when not whole.

Any number of commands may be started at once, and killed at any moment. An environment's `.lock` is held by whoever makes
it, including a pip that outlives its nox, and its `.used` by all that run something in it.
"""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import nox

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

CLONE = Path(__file__).resolve().parent.parent
PROJECT = nox.project.load_toml(CLONE / "pyproject.toml")
# the dependency groups of each environment
GROUPS = {name: (name, "harness", "mlflow", "test") for name in ("torch", "jax", "tensorflow")}
GROUPS |= {"results": ("harness", "mlflow", "test"), "lint": ("lint",)}


def run(session: nox.Session, name: str, *arguments: str, add: tuple[str, ...] = (), env: dict | None = None) -> None:
    """Run Python in the environment `name`, with the groups `add` beside its own; make it first unless it is whole."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        session.error(f"Python {sys.version.split()[0]} runs nox; the frameworks have wheels for 3.11 to 3.13 only")
    place = CLONE / ".nox" / name
    place.parent.mkdir(exist_ok=True)
    groups = {group: list(nox.project.dependency_groups(PROJECT, group)) for group in (*GROUPS[name], *add)}
    waits = f"Waiting: another process makes the environment {name}."
    while True:
        # held while the command runs, together with others who run one: nobody makes anew what is in use
        with locked(session, place.with_suffix(".used"), False, waits):
            if not shortcoming(place, groups):
                path = os.pathsep.join(filter(None, (str(CLONE), os.environ.get("PYTHONPATH"))))
                session.run(str(python(place)), *arguments, env={"PYTHONPATH": path, **(env or {})}, external=True)
                return
        with locked(session, place.with_suffix(".lock"), True, waits) as lock:
            make(session, place, groups, lock)


def make(session: nox.Session, place: Path, groups: dict[str, list[str]], lock: IO) -> None:
    """Make the environment at `place`, or add what it lacks of `groups`, unless another has; `lock` is held."""
    name, mark = place.name, place / "installed"
    added = [group for group in groups if group not in GROUPS[name]]
    reason = shortcoming(place, {group: groups[group] for group in GROUPS[name]})
    if not reason and not shortcoming(place, groups):
        return
    # virtualenv comes with nox and brings its own pip: nothing else is asked of the machine
    clear = (sys.executable, "-m", "virtualenv", "--quiet", "--no-periodic-update", "--clear", str(place))
    requirements = sorted({requirement for group in groups.values() for requirement in group})
    # twice quiet: errors are shown, warnings are not
    install = (str(python(place)), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements)
    known = {} if reason else json.loads(mark.read_text())["groups"]
    with contextlib.ExitStack() as stack:
        if not reason:
            session.log(f"Adding {', '.join(added)} to the environment {name}.")
        elif not place.exists():
            session.log(f"Making the environment {name}; this takes a minute or more.")
        else:
            why = f"the environment {name} anew: {reason}"
            waits = f"Waiting to make {why}; another process uses it."
            stack.enter_context(locked(session, place.with_suffix(".used"), True, waits))
            session.log(f"Making {why}.")
        if reason:
            mark.unlink(missing_ok=True)
        for command in (clear, install) if reason else (install,):
            # the child holds the lock too: where nox alone is killed, nobody gets in the way of a pip that goes on
            inherited = () if os.name == "nt" else (lock.fileno(),)
            if subprocess.run(command, pass_fds=inherited, check=False).returncode:
                session.error(f"the environment {name} could not be made: {' '.join(command[1:4])} failed")
        there = packages(place)
        contents = {"place": str(place), "groups": known | groups, "packages": sorted(there)}
        mark.write_text(json.dumps(contents | {"lost": lost(there.values())}))


def shortcoming(place: Path, groups: dict[str, list[str]]) -> str:
    """Why the environment at `place` is not whole, with all of `groups` and each file of its packages; "" if it is."""
    try:
        mark = json.loads((place / "installed").read_text())
        wanted = mark["place"] == str(place) and all(mark["groups"].get(name) == groups[name] for name in groups)
    except (OSError, ValueError, TypeError, KeyError):
        return "it was left unfinished, or made by an earlier noxfile"
    if not wanted:
        return "the clone was moved, or pyproject.toml asks for other packages"
    try:
        there = packages(place)
    except (OSError, subprocess.SubprocessError):
        return "its Python does not run"
    if gone := [name for name in mark["packages"] if name not in there]:
        return f"its package {gone[0]} is gone"
    # what was not there from the beginning is not lost
    gone = [file for file in lost(there[name] for name in mark["packages"]) if file not in mark["lost"]]
    return f"its file {gone[0]} is gone or empty" if gone else ""


def python(place: Path) -> Path:
    """The Python of the environment at `place`."""
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def packages(place: Path) -> dict[str, Path]:
    """The folder of each installed package's metadata, by the package's name."""
    command = (python(place), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    folder = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return {path.name.split("-")[0].lower(): path for path in folder.glob("*.dist-info")}


def lost(folders: Iterable[Path]) -> list[str]:
    """Files of packages' own lists that are not there or were emptied; a fifth of a second for 30,000 of them."""
    found = []
    for folder in folders:
        try:
            with (folder / "RECORD").open(newline="", encoding="utf-8") as record:
                listed = [(row[0], row[2]) for row in csv.reader(record) if "__pycache__" not in row[0]]
        except (OSError, ValueError, IndexError, csv.Error):
            listed = []
        if not listed:
            found.append(f"{folder.name}/RECORD")
        for file, size in listed:
            try:
                there = os.stat(f"{folder.parent}/{file}").st_size or size in ("", "0")
            except OSError:
                there = False
            if not there:
                found.append(file)
    return found


@contextlib.contextmanager
def locked(session: nox.Session, path: Path, alone: bool, waits: str) -> Iterator[IO]:
    """Hold a lock file, alone or together with others; say the sentence `waits` where that has to be waited for."""

    def taken(file: IO) -> bool:
        try:
            if os.name != "nt":
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            elif alone:  # Windows itself keeps what is in use
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks: as if alone
            pass
        return True

    with path.open("a") as file:
        if not taken(file):
            session.log(waits)
            while not taken(file):
                time.sleep(0.2)
        yield file
