"""Who may import whom: no circles, and the rules of the layout, read off every import statement of the product's code.

Statements inside functions and `if TYPE_CHECKING` count like all others. An import of a module is no import of the packages
that it lies in. A new rule is one row of a table below.
"""

import ast
import functools
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("reference", "backends", "suites", "results")
BACKENDS = ("torch", "jax", "tensorflow")
FRAMEWORKS = ("torch", "triton", "jax", "jaxlib", "flax", "optax", "tensorflow", "keras")

# whose modules may import nothing of ours but these
ONLY = [
    ("reference", ["reference"]),
    ("backends", ["backends"]),
    ("backends.common", ["backends.common"]),
    *((f"backends.{name}", [f"backends.{name}", "backends.common"]) for name in BACKENDS),
    ("results", ["results", "reference"]),
]
# which folders of the same backend its folders may not import
IN_A_BACKEND = {
    "losses": ("models", "training", "harness"),
    "divergences": ("models", "training", "harness"),
    "objectives": ("models", "training", "harness"),
    "models": ("losses", "training", "harness"),
    "training": ("harness",),
}
# whose modules may not import these
NEVER = [
    *((name, FRAMEWORKS) for name in ("reference", "backends.common", "results")),
    *(
        (f"backends.{name}.{folder}", [f"backends.{name}.{other}" for other in others])
        for name in BACKENDS
        for folder, others in IN_A_BACKEND.items()
    ),
]
# from the lowest to the highest: a module imports none of a higher row
LAYERS = {
    "results": [
        ["places", "atomic", "command_line", "escaping"],
        ["records", "significance"],
        ["checks", "metrics", "words", "groups", "grouping", "selection"],
        ["tables"],
        ["figures"],
        ["tracking", "report", "gate"],
        ["__main__"],
    ],
    "cells of suites": [["datasets", "streams"], ["tasks"], ["distill"], ["throughput"], ["registry"], ["sweep"], ["__main__"]],
    "running of suites": [["cell"], ["keys"], ["suite"], ["plan"], ["running"], ["registry"], ["__main__"]],
}
# what only these may import
IMPORTERS = [("suites.registry", ["suites.__main__", "suites.sweep", "suites.running.workers"])]


class Import(NamedTuple):
    """One import statement's arrow."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


@functools.cache
def modules() -> dict[str, Path]:
    """The product's modules by name; a package goes by the name of its folder."""
    files = [ROOT / "noxfile.py", *(file for folder in OURS for file in sorted((ROOT / folder).rglob("*.py")))]
    parts = {file: file.relative_to(ROOT).with_suffix("").parts for file in files}
    return {".".join(p[:-1] if p[-1] == "__init__" else p): file for file, p in parts.items()}


@functools.cache
def imports() -> list[Import]:
    """Every arrow; one to a name in a module is one to the module."""
    arrows = []
    for module, file in modules().items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                arrows += [Import(module, alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*parents, *filter(None, [node.module])])
                names = [f"{base}.{alias.name}" for alias in node.names]
                arrows += [Import(module, name if name in modules() else base, node.lineno) for name in names]
    return arrows


def within(module: str, *folders: str) -> bool:
    """Whether a module is one of these, or lies in one."""
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def check(wrong: list[Import]) -> None:
    """Fail with every arrow that breaks a rule."""
    assert not wrong, "\n" + "\n".join(map(str, dict.fromkeys(wrong)))


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: set() for module in modules()}
    for arrow in imports():
        if arrow.imported in graph:
            graph[arrow.importer].add(arrow.imported)
    circles = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
            break
        except graphlib.CycleError as error:
            circle = error.args[1]
            circles.append(" ← ".join(circle))
            graph[circle[1]].discard(circle[0])  # cut there, to find the others as well
    assert not circles, "\n" + "\n".join(circles)


@pytest.mark.parametrize("folder, allowed", ONLY, ids=[row[0] for row in ONLY])
def test_a_folder_knows_of_ours_only(folder: str, allowed: list[str]) -> None:
    of_ours = [i for i in imports() if within(i.importer, folder) and within(i.imported, *OURS)]
    check([i for i in of_ours if not within(i.imported, *allowed)])


@pytest.mark.parametrize("folder, forbidden", NEVER, ids=[row[0] for row in NEVER])
def test_a_folder_never_imports(folder: str, forbidden: list[str]) -> None:
    check([i for i in imports() if within(i.importer, folder) and within(i.imported, *forbidden)])


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_imports_no_higher_one(name: str) -> None:
    root = name.split()[-1]
    height = {f"{root}.{part}": level for level, parts in enumerate(LAYERS[name]) for part in parts}

    def level(module: str) -> int | None:
        return height.get(".".join(module.split(".")[:2]))

    ranked = [(i, level(i.importer), level(i.imported)) for i in imports()]
    check([i for i, importer, imported in ranked if importer is not None and imported is not None and importer < imported])


@pytest.mark.parametrize("module, importers", IMPORTERS, ids=[row[0] for row in IMPORTERS])
def test_a_module_is_imported_by_nobody_but(module: str, importers: list[str]) -> None:
    check([i for i in imports() if within(i.imported, module) and not within(i.importer, *importers)])


def test_every_file_of_results_lies_in_a_layer() -> None:
    known = {part for parts in LAYERS["results"] for part in parts}
    assert {name.split(".")[1] for name in modules() if name.startswith("results.")} <= known
