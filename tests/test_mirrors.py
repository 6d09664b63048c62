"""The three backends mirror each other inside: files, names, signatures and fields, read without importing a framework."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

BACKENDS = Path(__file__).parent.parent / "backends"
NAMES = ("torch", "jax", "tensorflow")

# files that not every backend has, and why
FILES = {
    "convert.py": "PyTorch: reads checkpoints, which PyTorch alone writes",
    "models/folding.py": "PyTorch: folds batch normalisation for evaluation; XLA does that by itself",
    "losses/keras_loss.py": "TensorFlow: the loss for Keras' own compile and fit",
    "losses/counting.py": "TensorFlow: mask, weights, reduction and normalizer travel as one",
    "models/convolutions.py": "JAX: convolutions whose gradients XLA computes fast on a CPU",
}

# names and signatures that differ, and why; "*" stands for every file of the folder
EXCEPTIONS = {
    # the frameworks
    "ABKDLoss": "a module in PyTorch, a callable in TensorFlow; JAX has the pure function abkd_loss",
    "abkd_loss": "a module in PyTorch, a callable in TensorFlow; JAX has the pure function abkd_loss",
    "objective": "JAX: the compiled loss of ABKD with its own rule of differentiation",
    "pack_weights": "JAX: both weights of abkd_loss as an operand",
    "losses/execution.py": "each framework compiles in its own way, which is what the file is for",
    "losses/divided_differences.py": "each is written for what its compiler fuses and rounds well",
    "losses/mixtures.py": "each is written for what its compiler fuses and rounds well; the shared helpers are compared",
    "losses/operands.py": "PyTorch and JAX and TensorFlow hold run-time scalars differently; `pack` is compared by its users",
    "losses/training_loss.py": "what changes without compiling again is an operand in JAX and TensorFlow",
    "_evaluate": "PyTorch's operator knows a divergence by its name, the others by its function",
    "evaluate": "PyTorch's operator knows a divergence by its name, the others by its function",
    "row_divergence": "PyTorch works out numbers that are constant for a row before its compiled code",
    "check_arguments": "TensorFlow: what says which rows count is checked in one place and travels as one",
    "shift_left": "written where each framework checks labels",
    "counted_cross_entropy": "TensorFlow: of labels that are checked already",
    "reduced": "TensorFlow: pairs of divergences are reduced after they are added",
    "row_numbers": "TensorFlow: numbers that are constant for a row, by a kernel of their own",
    "ab_rows": "PyTorch specialises on a pattern of signs and gets numbers of rows beside",
    "ab_rows_at": "JAX: the family's points as parts of other divergences",
    "check_labels": "JAX takes a class that is none for another one, so it looks at concrete labels",
    "compare_rows": "PyTorch leaves work out where all logits are finite, TensorFlow keeps statistics for the gradient",
    "with_absent_far": "TensorFlow's rows are like that from the start",
    "selected": "TensorFlow: rows that do not count are zeros before float64",
    "total": "TensorFlow: sums over classes are float64",
    "losses/classification.py": "TensorFlow takes logits to float64 first; private helpers differ by that",
    # files whose mirror is looked after elsewhere
    "models/*": "networks are built by each framework's own layers",
    "training/*": "each framework's own way to hold and update parameters",
    "harness/networks.py": "types of models",
    "harness/device.py": "devices and settings are the framework's",
    "framework_kl": "the framework's own divergence",
}

# what `Rows` holds beside the common fields, and why
ROWS = {
    "log_partition": "PyTorch: eager code takes the top class's log-probability from it",
    "teacher_probability": "JAX: exponentials that are there already",
    "from_top": "JAX: rounded once, where the others subtract two numbers",
    "student_probability": "TensorFlow: worked out where it is read",
    "top_teacher_log": "PyTorch: from top_relative, shift and log_partition",
    "top_student_log": "PyTorch: minus log_partition",
    "is_top": "JAX: so that the top class's slope is exactly 0",
    "top_valid": "JAX: the others mark it by an infinite top_relative",
    "below_top": "JAX: exact where log-probabilities round",
    "teacher_below_top": "JAX: order of the teacher's classes",
    "selected": "JAX: masks rows inside its compiled code",
    "valid": "JAX: rows that can be evaluated",
    "dtype": "TensorFlow: its exponents are float64 in any type",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def files(name: str) -> set[str]:
    return {path.relative_to(BACKENDS / name).as_posix() for path in (BACKENDS / name).rglob("*.py")}


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree(path).body if isinstance(node, ast.FunctionDef)}


def classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree(path).body if isinstance(node, ast.ClassDef)}


def decorator(function: ast.FunctionDef) -> ast.Call | None:
    """The `row_divergence(...)` over a function, if it has one."""
    calls = (node for node in function.decorator_list if isinstance(node, ast.Call))
    return next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "row_divergence"), None)


def signature(function: ast.FunctionDef) -> list[str]:
    """Arguments with their defaults, keywords after "*"; those of the public function where a decorator makes it."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    listed = [_argument(arg, default) for arg, default in zip(plain, defaults, strict=True)]
    call = decorator(function)
    if call is not None:
        own = {keyword.arg for keyword in call.keywords} - {"row_parameters"}
        listed = [text for text in listed[1:] if text.partition("=")[0] in own]
        return ["student_logits", "teacher_logits", *listed, "*", "temperature=1.0", "mask=None", "reduction='mean'"]
    listed += ["*"] if arguments.kwonlyargs or arguments.vararg else []
    listed += [_argument(arg, default) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return listed + (["**"] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"


def fields(node: ast.ClassDef) -> set[str]:
    return {item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}


def excepted(file: str, name: str = "") -> bool:
    return bool({file, name, f"{file.partition('/')[0]}/*"} & EXCEPTIONS.keys()) or file in FILES


def shared_files() -> list[str]:
    return [file for file in sorted(set.intersection(*map(files, NAMES))) if not file.endswith("__init__.py")]


def test_the_same_files():
    every = {name: files(name) for name in NAMES}
    partly = set.union(*every.values()) - set.intersection(*every.values())
    assert partly <= FILES.keys()
    assert all(FILES.values())


@pytest.mark.parametrize("file", shared_files())
@pytest.mark.parametrize("of", [functions, classes], ids=["functions", "classes"])
def test_the_same_public_names(file: str, of: Callable):
    names = {name: {key for key in of(BACKENDS / name / file) if not key.startswith("_")} for name in NAMES}
    partly = set.union(*names.values()) - set.intersection(*names.values())
    assert {key for key in partly if not excepted(file, key) and key not in EXCEPTIONS} == set()


@pytest.mark.parametrize("file", shared_files())
def test_the_same_signatures(file: str):
    """Of public functions, and of private ones that have the same name."""
    found = {name: functions(BACKENDS / name / file) for name in NAMES}
    for key in set.intersection(*(set(each) for each in found.values())):
        if not excepted(file, key) and not (key.startswith("_") and file == "losses/catalogue.py"):
            torch, jax, tensorflow = (signature(found[name][key]) for name in NAMES)
            assert torch == jax == tensorflow, f"{file}: {key}"


def test_rows_have_the_same_fields():
    each = {name: fields(classes(BACKENDS / name / "losses/rows.py")["Rows"]) for name in NAMES}
    common = set.intersection(*each.values())
    assert common >= {
        "teacher_log",
        "student_log",
        "log_ratio",
        "relative",
        "shift",
        "top_relative",
        "no_teacher",
        "no_student",
    }
    assert set.union(*each.values()) - common <= ROWS.keys()


def test_formulas_can_read_the_same_names_of_rows():
    for name in NAMES:
        rows = classes(BACKENDS / name / "losses/rows.py")["Rows"]
        readable = fields(rows) | {node.name for node in rows.body if isinstance(node, ast.FunctionDef)}
        assert {"top_log_ratio", "from_top", "student_probability"} <= readable
        assert {"gap", "decay_and_complement"} <= functions(BACKENDS / name / "losses/mixtures.py").keys()


def test_every_exception_is_one():
    """What mirrors again leaves the list."""
    names = set().union(*({*functions(p), *classes(p)} for n in NAMES for p in (BACKENDS / n).rglob("*.py")))
    known = set().union(*map(files, NAMES))
    gone = [key for key in EXCEPTIONS if key not in names and key not in known and not key.endswith("/*")]
    assert gone == []
