"""The environments of noxfile.py, on a toy clone and without network: two commands at once, kills, damage."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills groups of processes")

CLONE = Path(__file__).resolve().parent.parent
WAITS = "Waiting: another process makes the environment results."
ANSWER = "the answer is 42"

#: builds a wheel as pip asks for it; says so in `builds`, and ends when there is a file `go`
BUILD_BACKEND = """
import pathlib, time, zipfile

def build_wheel(folder, settings=None, metadata=None):
    source = pathlib.Path.cwd()
    name, clone = source.name, source.parent
    with (clone / "builds").open("a") as builds:
        print(name, file=builds)
    while not (clone / "go").exists():
        time.sleep(0.02)
    info = f"{name}-1.dist-info"
    files = {
        f"{name}/__init__.py": "ANSWER = 42",
        f"{name}/__main__.py": "print('the tests are run')",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(folder, f"{name}-1-py3-none-any.whl"), "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return f"{name}-1-py3-none-any.whl"
"""
#: `python -m results compare`, and `ui`, which stays until there is a file `end`
RESULTS = """
import pathlib, sys, time, toy
clone = pathlib.Path(__file__).parent.parent
if sys.argv[1] == "ui":
    (clone / "open").touch()
    while not (clone / "end").exists():
        time.sleep(0.02)
print("the answer is", toy.ANSWER)
"""


class Command:
    """A nox command on a toy clone, started from another folder; its output goes to a file."""

    def __init__(self, clone: Path, session: str):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOX", "PYTHONPATH"))}
        self.path = clone / f"output of {session} {time.monotonic_ns()}"
        command = [sys.executable, "-m", "nox", "--noxfile", str(clone / "noxfile.py"), "--session", session]
        with self.path.open("w") as output:
            keywords = {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
            self.process = subprocess.Popen(command, cwd=clone.parent, env=kept | {"NO_COLOR": "1"}, **keywords)

    def says(self, sentence: str) -> None:
        """Wait until the command has said it."""
        until(lambda: sentence in self.path.read_text())

    def ended(self) -> str:
        """Its whole output; it has succeeded."""
        assert self.process.wait(60) == 0, self.path.read_text()
        return self.path.read_text()


def until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.02)


def groups(clone: Path, **requirements: str) -> None:
    """Write the toy clone's pyproject.toml; a group holds one package of the clone, or none."""
    needed = {"harness": "toy", "mlflow": "", "test": "", "ray": "pytest"} | requirements
    packages = {group: f'"{name} @ {(clone / name).as_uri()}"' if name else "" for group, name in needed.items()}
    lines = (f"{group} = [{package}]\n" for group, package in packages.items())
    (clone / "pyproject.toml").write_text("[dependency-groups]\n" + "".join(lines))


def builds(clone: Path) -> list[str]:
    return (clone / "builds").read_text().split() if (clone / "builds").exists() else []


@pytest.fixture
def clone(tmp_path):
    """The noxfile of this clone and what it imports, over packages that are made here; nothing is installed yet."""
    clone = tmp_path / "clone"
    shutil.copytree(CLONE / ".ci", clone / ".ci")
    shutil.copy(CLONE / "noxfile.py", clone)
    for name in ("toy", "pytest"):
        (clone / name).mkdir()
        (clone / name / "backend.py").write_text(BUILD_BACKEND)
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (clone / name / "pyproject.toml").write_text(system)
    (clone / "results").mkdir()
    (clone / "results" / "__main__.py").write_text(RESULTS)
    groups(clone)
    yield clone
    for file in ("go", "end"):  # what a failed test has left running ends too
        (clone / file).touch()


def test_two_commands_at_once_make_one_environment(clone):
    first = Command(clone, "compare")
    until(lambda: builds(clone))
    second = Command(clone, "gate")
    second.says(WAITS)
    (clone / "go").touch()
    said = first.ended()
    assert "Making the environment results; this takes a minute or more." in said and ANSWER in said
    said = second.ended()
    assert ANSWER in said and "Making" not in said
    assert builds(clone) == ["toy"]


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["nox alone", "all its processes"])
def test_an_environment_whose_making_was_killed_is_made_anew(clone, kill):
    first = Command(clone, "compare")
    until(lambda: builds(clone))
    kill(first.process.pid, signal.SIGKILL)
    first.process.wait(60)
    second = Command(clone, "compare")
    if kill is os.kill:  # pip goes on, and nobody works in the same folder until it ends
        second.says(WAITS)
    (clone / "go").touch()
    said = second.ended()
    assert "Making the environment results anew: it was left unfinished" in said and ANSWER in said
    assert builds(clone) == ["toy", "toy"]


def test_a_damaged_environment_is_made_anew(clone):
    (clone / "go").touch()
    Command(clone, "compare").ended()
    place = clone / ".nox" / "results"
    (packages,) = place.glob("lib/python*/site-packages")
    for damaged, reason in (
        (place / "bin" / "python", "its Python does not run"),
        (packages / "toy", "its file toy/__init__.py is gone or empty"),
        (packages / "toy-1.dist-info", "its package toy is gone"),
    ):
        shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
        said = Command(clone, "compare").ended()
        assert "Making the environment results anew: " in said and reason in said and ANSWER in said
    with (clone / "pyproject.toml").open("a") as file:
        file.write("\n[tool.other]\n")  # concerns no environment
    assert "Making" not in Command(clone, "compare").ended()


def test_an_environment_in_use_stays(clone):
    """What others run goes on: a group is added beside it, and other packages wait until it has ended."""
    (clone / "go").touch()
    ui = Command(clone, "ui")
    until((clone / "open").exists)
    hidden = (clone / "pytest").rename(clone / "hidden")
    failed = Command(clone, "tests-ray")
    assert failed.process.wait(60) == 1
    assert "the environment results could not be made" in failed.path.read_text()
    hidden.rename(clone / "pytest")
    said = Command(clone, "tests-ray").ended()
    assert "Adding ray to the environment results." in said and "the tests are run" in said
    said = Command(clone, "tests-ray").ended()
    assert "Adding" not in said and "the tests are run" in said
    assert builds(clone).count("pytest") == 1
    groups(clone, mlflow="pytest")
    other = Command(clone, "compare")
    reason = "the clone was moved, or pyproject.toml asks for other packages"
    other.says(f"Waiting to make the environment results anew: {reason}; another process uses it.")
    (clone / "end").touch()
    assert ANSWER in ui.ended() and ANSWER in other.ended()
    assert builds(clone).count("pytest") == 2
