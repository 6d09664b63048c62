"""What the documents name is there: files, modules, links and their anchors."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# the library's name where it is installed
INSTALLED = "abkd"
PACKAGES = ("backends", "reference", "results", "suites", INSTALLED)
# what a user's machine has, and the clone has not
ELSEWHERE = (".venv", ".nox/", "results/store", "<store>/")
# dotted names that are no modules: a tag of MLflow's
TAGS = {"abkd.cell"}

BY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(document: Path) -> str:
    """The document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)


def quoted(document: Path) -> list[str]:
    """What stands in backticks, but for blocks."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def pattern(name: str) -> str:
    """A name with `<placeholders>` as a pattern of files."""
    return re.sub(r"<[^>]+>", "*", name)


def exists(module: str) -> bool:
    """Whether a dotted name is a module, or a name that one defines or imports."""
    parts = pattern(module).split(".")
    parts = ["backends", *parts[1:]] if parts[0] == INSTALLED else parts
    for length in range(len(parts), 0, -1):
        base = "/".join(parts[:length])
        files = [*ROOT.glob(f"{base}.py"), *ROOT.glob(f"{base}/__init__.py")]
        if files:
            return length == len(parts) or parts[length] == "*" or any(parts[length] in names(file) for file in files)
    return False


def names(file: Path) -> set[str]:
    """All names that a file binds or mentions at its top level and in its classes."""
    return {
        *(getattr(node, "name", "") for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))),
        *re.findall(r"^\s*(\w+)(?: = |: )", file.read_text(encoding="utf-8"), re.M),
    }


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@BY_DOCUMENT
def test_paths_are_there(document):
    """Seen from the clone, from the document, or from a backend's folder."""
    bases = [ROOT, document.parent, *(ROOT / "backends").iterdir()]
    words = {word for text in quoted(document) for word in text.split() if re.fullmatch(r"[\w.<>*-]+/[\w./<>*-]*", word)}
    paths = {word for word in words if word.endswith("/") or "." in word.rpartition("/")[2]}
    gone = [path for path in paths if not any(any(base.glob(pattern(path).rstrip("/"))) for base in bases)]
    assert [path for path in sorted(gone) if not path.startswith(ELSEWHERE)] == []


@BY_DOCUMENT
def test_modules_are_there(document):
    dotted = rf"(?:{'|'.join(PACKAGES)})(?:\.[\w<>]+)+"
    named = {module for text in quoted(document) for module in re.findall(rf"^(?:from )?({dotted})", text)}
    named |= set(re.findall(rf"-m ({dotted})", document.read_text(encoding="utf-8")))
    assert [module for module in sorted(named - TAGS) if not exists(module)] == []


@BY_DOCUMENT
def test_links_lead_somewhere(document):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = document.parent / path if path else document
        if not file.exists() or (anchor and anchor not in map(slug, re.findall(r"^#+ (.*)$", prose(file), re.M))):
            dead.append(target)
    assert dead == []


def test_the_layout_names_folders_that_are_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = page[page.index("## Layout") : page.index("## Import rules")]
    folders = re.findall(r"(?:^|(?<=\s))\.?\w[\w./]*/(?=\s|,|$)", layout, re.M)
    assert len(folders) > 20
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
    every = {path.parent for path in ROOT.glob("*/**/__init__.py") if path.relative_to(ROOT).parts[0] in PACKAGES}
    tops = {path.relative_to(ROOT).as_posix() + "/" for path in every if len(path.relative_to(ROOT).parts) <= 2}
    unnamed = tops - set(folders)
    assert unnamed == set()
