"""What enters a cell's key: all code that computes its result, by what it says, and nothing else."""

import ast
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backends import BACKENDS
from results.places import CLONE
from suites import registry, sources
from suites.cell import Cell, options
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.suite import Context

ENTRIES = {
    "agreement": ("suites.agreement.measurement",),
    "loss": ("suites.loss.measurement", "suites.loss.calls"),
    "distill": (
        "suites.distill.students",
        "suites.distill.teachers",
        "suites.datasets.digits",
        "suites.tasks.classification.task",
    ),
    "throughput": ("suites.throughput.measurement", "suites.datasets.cifar100"),
}
CELLS = {
    "agreement": Cell("agreement", "torch", options=options(divergence="forward_kl")),
    "loss": Cell("loss", "torch", options=options(divergence="ab_divergence", rows=64, classes=100)),
    "distill": Cell("distill", "torch", "digits-teacher:digits-student", "digits", "kd", seed=0),
    "throughput": Cell("throughput", "torch", "resnet56:resnet20", "cifar100", "kd"),
}


def forget():
    """Files are read once in a process; a test changes them."""
    for function in (sources.read, sources.walk, sources._file, sources._code, sources._always_mentioned):
        function.cache_clear()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A copy of the project's code, whose files a test may change; call it for what a suite's key holds of it."""

    class Clone:
        path = tmp_path

        def code(self, suite, *words, backend="torch"):
            forget()
            return sources.code(ENTRIES[suite], backend, words)

        def edit(self, name, old, new):
            text = (tmp_path / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new, 1))

    only_code = shutil.ignore_patterns("__pycache__", "*.npz", "*.json", "store")
    for package in sources.PACKAGES:
        shutil.copytree(CLONE / package, tmp_path / package, ignore=only_code)
    monkeypatch.setattr(sources, "CLONE", tmp_path)
    yield Clone()
    forget()


def imported(path):
    """(module, name) of every import statement in a file, also in functions, but for those of types alone."""
    package = path.relative_to(CLONE).parent.parts
    waiting = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            yield from ((".".join((*above, *filter(None, [node.module]))), alias.name) for alias in node.names)


def file_of(module, name=""):
    """The file of a module, or of what an import takes from a package."""
    folder = CLONE.joinpath(*module.split("."), *filter(None, [name]))
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)


def is_door(path):
    """Whether a file only passes names on."""
    kinds = (ast.Import, ast.ImportFrom, ast.Expr)
    body = ast.parse(path.read_text()).body
    return path.name == "__init__.py" and all(isinstance(s, kinds) or "__all__" in ast.unparse(s) for s in body)


@pytest.mark.parametrize("framework", BACKENDS)
@pytest.mark.parametrize("suite", ENTRIES)
def test_every_file_that_a_run_imports_is_in_the_key_or_on_the_list_with_a_reason(suite, framework):
    code = sources.code(ENTRIES[suite], framework, ["kd"])
    for name in code:
        for module, imported_name in imported(CLONE / name):
            if module.split(".")[0] not in sources.PACKAGES:
                continue
            path = file_of(module, imported_name) or file_of(module)
            where = path.relative_to(CLONE).as_posix()
            assert where in code or sources.irrelevant(path) or is_door(path), f"{name} imports {where}"


def test_the_key_starts_where_a_suite_runs():
    words = {"agreement": ["forward_kl"], "loss": ["ab_divergence"], "distill": ["kd", "teacher"], "throughput": ["kd"]}
    for name, suite in registry.SUITES.items():
        code = suite.code(CELLS[name])
        path = Path(suite.run.__code__.co_filename)
        assert path.relative_to(CLONE).as_posix() in code or sources.irrelevant(path)
        assert code == sources.code(ENTRIES[name], "torch", words[name])


def test_every_reason_is_of_a_file_that_is_there():
    assert not [pattern for pattern in (*sources.IRRELEVANT, *sources.TABLES) if not list(CLONE.glob(pattern))]


@pytest.mark.parametrize("framework", BACKENDS)
def test_other_backends_are_in_no_key(framework):
    others = [f"backends/{other}/" for other in BACKENDS if other != framework]
    for entries in ENTRIES.values():
        assert not [name for name in sources.code(entries, framework, ["kd"]) if name.startswith(tuple(others))]


def test_agreement_and_loss_do_not_depend_on_training_models_and_tasks(clone):
    for suite in ("agreement", "loss"):
        parts = ("training/", "networks", "models/", "suites/distill", "suites/tasks", "suites/datasets")
        assert not [name for name in clone.code(suite, "forward_kl") if any(part in name for part in parts)]
    before = clone.code("agreement", "forward_kl")
    (clone.path / "backends/torch/models/gpt2.py").write_text("class GPT2:\n    pass\n")
    clone.edit(
        "backends/torch/harness/networks.py", "import numpy as np\n", "import numpy as np\n\nfrom ..models import gpt2\n"
    )
    assert clone.code("agreement", "forward_kl") == before


def test_comments_docstrings_and_layout_change_no_key(clone):
    before = {suite: clone.code(suite, "kd") for suite in ENTRIES}
    for path in clone.path.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and sources._is_text(body[0]):
                body[0].value.value = "Another docstring."
        path.write_text("# a comment\n" + ast.unparse(tree))  # which writes everything in its own way
    assert {suite: clone.code(suite, "kd") for suite in ENTRIES} == before


def changed(before, after):
    return {name for name, _ in before.items() ^ after.items()}


def test_what_computes_the_inputs_of_networks_is_in_their_keys(clone):
    before = {suite: clone.code(suite, "kd") for suite in ENTRIES}
    file = next(p for p in (clone.path / "suites").rglob("*.py") if "class Normalisation" in p.read_text())
    name = file.relative_to(clone.path).as_posix()
    clone.edit(name, "    def __call__(self, ", "    def __call__(self, scale, ")
    found = {suite: changed(code, clone.code(suite, "kd")) for suite, code in before.items()}
    assert found == {"agreement": set(), "loss": set(), "distill": {name}, "throughput": {name}}


def test_another_operation_another_import_and_another_constant_change_the_key(clone):
    name = "backends/torch/losses/rows.py"
    before = clone.code("agreement", "forward_kl")
    clone.edit(name, "import torch\n", "import torch as torch_\n")
    renamed = clone.code("agreement", "forward_kl")
    assert changed(before, renamed) == {name}
    text = (clone.path / name).read_text()
    (clone.path / name).write_text(text + "\n_FAR_AWAY = 1.0\n")
    assert changed(renamed, clone.code("agreement", "forward_kl")) == {name}


def test_a_new_divergence_changes_no_key_of_the_others(clone):
    before = clone.code("agreement", "forward_kl"), clone.code("agreement", "jensen_shannon")
    with (clone.path / "backends/torch/losses/catalogue.py").open("a") as file:
        file.write("\n\n@divergence()\ndef new_divergence(rows):\n    return total_variation(rows)\n")
    with (clone.path / "reference/combinations.py").open("a") as file:
        file.write("\n\ndef new_and_gradient(student, teacher, **options):\n    return exp(student), teacher\n")
    row = 'Divergence(name="new_divergence", reference=combinations.new_and_gradient, exact=None, parameters=(), grid=()),'
    clone.edit("reference/catalogue.py", "    for row in (\n", f"    for row in (\n        {row}\n")
    assert (clone.code("agreement", "forward_kl"), clone.code("agreement", "jensen_shannon")) == before
    names = {"backends/torch/losses/catalogue.py", "reference/combinations.py", "reference/catalogue.py"}
    assert names <= changed(before[0], clone.code("agreement", "new_divergence"))


def test_a_changed_row_changes_the_keys_that_use_it_and_no_others(clone):
    before = {divergence: clone.code("agreement", divergence) for divergence in ("forward_kl", "skewed_forward_kl")}
    text = (clone.path / "backends/torch/losses/catalogue.py").read_text()
    head = re.search(r"def skewed_forward_kl\(.*", text).group()
    clone.edit("backends/torch/losses/catalogue.py", head, head.replace("0.1", "0.2"))
    assert clone.code("agreement", "forward_kl") == before["forward_kl"]
    assert changed(before["skewed_forward_kl"], clone.code("agreement", "skewed_forward_kl")) == {
        "backends/torch/losses/catalogue.py"
    }


def test_methods_enter_by_their_row(clone):
    before = {method: clone.code("distill", method) for method in ("kd", "dkd")}
    clone.edit(
        "backends/common/methods.py", '"dkd_loss",\n            _DKD,', '"dkd_loss",\n            {**_DKD, "temperature": 5.0},'
    )
    clone.edit(
        "backends/common/methods.py",
        '        Method("sft"',
        '        Method("newest", "New", "nowhere"),\n        Method("sft"',
    )
    assert clone.code("distill", "kd") == before["kd"]
    assert changed(before["dkd"], clone.code("distill", "dkd")) == {"backends/common/methods.py"}


@pytest.mark.parametrize("name", ["batch_size", "momentum", "pad"])
def test_the_recipe_that_is_timed_is_in_the_key_of_throughput(monkeypatch, name):
    context = Context("torch", None, None, "cpu", loss_threads=1)
    suite, cell = registry.SUITES["throughput"], CELLS["throughput"]
    before = suite.key(cell, context)
    recipes = find.RECIPES["cifar100"]
    students = recipes.students | {"paper": recipes.students["paper"] | {name: Value(1)}}
    monkeypatch.setitem(find.RECIPES, "cifar100", replace(recipes, students=students))
    assert suite.key(cell, context) != before


def test_what_is_not_there_is_an_error(clone):
    clone.edit(
        "suites/agreement/calls.py", "import numpy as np\n", "import numpy as np\n\nfrom suites.agreement import nothing\n"
    )
    with pytest.raises(ValueError, match="suites.agreement has no 'nothing'"):
        clone.code("agreement")
    with pytest.raises(ValueError, match="module='suites.nowhere'"):
        sources.code(["suites.nowhere"], "torch", [])
