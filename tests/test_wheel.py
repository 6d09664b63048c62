"""The wheel holds the loss library alone, as `abkd`: a project's own packages named like folders of this clone stay its own."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import CHOSEN

CLONE = Path(__file__).resolve().parent.parent
OWN = ("backends", "results", "reference", "suites")

#: what a project does with its own packages and the library
PROGRAM = """
import importlib, pathlib, sys
for name in ("backends", "results", "reference", "suites"):
    assert importlib.import_module(name + ".mine").OWNER == "the project"
import abkd
assert pathlib.Path(abkd.__file__).parts[-3:-1] == ("target", "abkd"), abkd.__file__
assert not [name for name in sys.modules if name.startswith("abkd.") and name.split(".")[1] in abkd.BACKENDS]
"""

#: what stands below README's example
AFTERWARDS = """
import pathlib, sys
assert result.status == "ok" and result.epoch_losses[-1] < result.epoch_losses[0]
from backends.mine import OWNER
own = {pathlib.Path(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "abkd"}
assert OWNER == "the project" and all("target" in path.parts for path in own)
"""


def run(*arguments: str | Path, **keywords) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as `pip` builds it, with what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, CLONE)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory):
    """A folder with the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "target"
    run("-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--target", folder, wheel)
    return folder


@pytest.fixture(params=["packages", "folders without __init__.py"])
def project(request, tmp_path):
    """A project with packages of its own whose names this clone has too."""
    for name in OWN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text('OWNER = "the project"\n')
        if request.param == "packages":
            (tmp_path / name / "__init__.py").touch()
    return tmp_path


def run_in(project: Path, target: Path, program: str) -> None:
    """Run a script of the project, for which the wheel is installed and this clone is not on the path."""
    (project / "program.py").write_text(program, encoding="utf-8")
    run(project / "program.py", cwd=project, env=os.environ | {"PYTHONPATH": str(target)})


def test_it_holds_the_library_alone_and_all_of_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not re.match(r"abkd_benchmark-[\d.]+\.dist-info/", name)}
    files = [path for path in (CLONE / "backends").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert names == {f"abkd/{path.relative_to(CLONE / 'backends').as_posix()}" for path in files}
    assert "abkd/py.typed" in names


def test_a_project_keeps_its_own_packages(project, target):
    run_in(project, target, PROGRAM)


@pytest.mark.parametrize("project", ["packages"], indirect=True)
def test_the_example_of_the_readme_runs_in_a_project(backend, project, target):
    """`backend` has this run in the process of each backend."""
    text = (CLONE / "README.md").read_text(encoding="utf-8").replace("from backends.", "from abkd.")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (example,) = (block for block in blocks if f"from abkd.{CHOSEN} import" in block)
    run_in(project, target, example + AFTERWARDS)
