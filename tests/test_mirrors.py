"""The three backends mirror each other inside: files, names, signatures and fields, read without importing a framework."""

import ast
from functools import cache
from pathlib import Path

import pytest

BACKENDS = Path(__file__).parent.parent / "backends"
NAMES = ("torch", "jax", "tensorflow")

# files that not every backend has, and why
FILES = {
    "convert.py": "PyTorch: reads checkpoints, which PyTorch alone writes",
    "models/folding.py": "PyTorch: folds batch normalisation for evaluation; XLA does that by itself",
    "losses/counting.py": "TensorFlow: weights of rows and the divisor, for code that runs in graphs of unknown shape",
    "losses/keras_loss.py": "TensorFlow: Keras' own protocol of losses",
    "models/convolutions.py": "JAX: convolutions whose gradients XLA computes fast on a CPU",
}

_COMPILES = "each framework compiles in its own way"
_ROUNDS = "each is written for what its compiler fuses and rounds well"
_COUNTS = "the weight of each row is a tensor in PyTorch, operands of compiled code in JAX, an object in TensorFlow"
_SCALARS = "the frameworks hold run-time scalars differently"
_NETWORKS = "Keras' functional networks need no classes; those of PyTorch and flax are modules"

# names and signatures that differ, by file, and why; what mirrors again must leave the list
EXCEPTIONS: dict[str, dict[str, str]] = {
    "harness/losses.py": {"_value_and_gradient": "PyTorch differentiates a value, the others a function"},
    "losses/abkd.py": {
        "ABKDLoss abkd_loss": "a module in PyTorch, a callable in TensorFlow; JAX has the pure function",
        "objective pack_weights": "JAX: the compiled loss with its own rule of differentiation, its weights an operand",
    },
    "losses/alpha_beta.py": {
        "ab_rows": "PyTorch specialises on a pattern of signs and gets numbers of rows beside",
        "ab_rows_at": "JAX: the family's points as parts of other divergences",
        "packed_ab_divergence": _COUNTS,
    },
    "losses/definition.py": {
        "_evaluate": "PyTorch's operator knows a divergence by its name, the others by its function",
        "row_divergence": "PyTorch works out numbers that are constant for a row before its compiled code",
    },
    "losses/differentiable.py": {
        "evaluate": "PyTorch's operator knows a divergence by its name, the others by its function",
        "check_arguments": _COUNTS,
        "Selection primals select_rows": f"JAX: {_COUNTS}",
        "check_divisor check_logits check_tensor may_look row_weights": f"PyTorch: {_COUNTS}",
        "row_numbers": "TensorFlow: numbers that are constant for a row, by a kernel of their own",
    },
    "losses/divided_differences.py": {
        "first_order second_order": _ROUNDS,
        "combination expm1_negative expm1_negative_ saturating_exp_ with_sign_of_ Mask": f"PyTorch: {_ROUNDS}",
        "bounded_exp exp_difference log1p relative_expm1": f"JAX: {_ROUNDS}",
        "decay_integral expm1 exponential larger": f"TensorFlow: {_ROUNDS}",
    },
    "losses/execution.py": {
        "compiled_variants run_rows value_and_gradient Definition": f"PyTorch: {_COMPILES}",
        "compiled_value compiled_value_and_gradient": f"JAX: {_COMPILES}",
        "kernel numbers_of_rows row_gradients row_values static_sizes": f"TensorFlow: {_COMPILES}",
    },
    "losses/labels.py": {
        "check_labels": "JAX takes a class that is none for another one, so it looks at concrete labels",
        "counted_cross_entropy counted_rows": _COUNTS,
        "nan_where_unknown selected_cross_entropy": f"JAX: {_COUNTS}",
    },
    "losses/mixtures.py": {
        "decay_and_complement": "TensorFlow: in the type that it is asked for",
        "exp_remainder larger_term log_mixture mixture_terms smaller_term Centre MixtureTerms": f"PyTorch: {_ROUNDS}",
        "entropy_to_mixture mixture share": f"JAX: {_ROUNDS}",
        "excess Mixture": f"JAX and TensorFlow: {_ROUNDS}",
    },
    "losses/operands.py": {
        "pack pack_parameters": "JAX: in the computing type; PyTorch and TensorFlow round later",
        "as_float64 checked_scalar checked_temperature is_dynamic": f"TensorFlow: {_SCALARS}",
        "check_concrete check_in_type point": f"JAX: {_SCALARS}",
        "check_factor check_operands check_size constant": f"PyTorch: {_SCALARS}",
        "farthest": "TensorFlow: its exponents are float64 in any type",
        "scalars_and_pattern Pattern": f"PyTorch: {_SCALARS}",
        "unpack Scalars": _SCALARS,
    },
    "losses/rows.py": {
        "compare_rows": "PyTorch leaves work out where all logits are finite, TensorFlow keeps statistics for the gradient",
        "with_absent_far": "TensorFlow's rows are like that from the start",
        "in_range": "JAX: the scaled logits of objectives are held too",
        "selected": "TensorFlow: rows that do not count are zeros before float64",
        "total": "TensorFlow: sums over classes are float64",
    },
    "losses/training_loss.py": {
        "signature Signature _part distillation_term": "what is compiled in, and not an operand, has a type in JAX"
    },
    "models/convolutional.py": {"BasicBlock ConvNet PreActivationBlock ResNet Stage VGG WideResNet": _NETWORKS},
    "models/layers.py": {
        "convolution": "flax counts the channels that come in, Keras calls the layer on its inputs",
        "max_pool_2x2 spatial_mean": "Keras has layers for them, PyTorch for one",
    },
    "models/weights.py": {
        "parameter_name parameter_names": "flax and Keras name weights otherwise than PyTorch",
        "Frozen": "JAX: what is not trained is of a type of its own",
        "freeze": "flax' and Keras' models carry their specification",
    },
    "training/optimizers.py": {
        "build_optimizer": "what each framework's optimisers are built of",
        "export_optimizer restore_optimizer": "PyTorch: state within an optimizer's object",
        "hyperparameters sgd": "JAX: numbers are operands of the compiled update",
        "AdamWUpdates KerasUpdates SgdUpdates": "TensorFlow: updates of a list of variables, by one interface",
    },
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
        return [
            "student_logits",
            "teacher_logits",
            *listed,
            "*",
            "temperature=1.0",
            "mask=None",
            "weights=None",
            "reduction='mean'",
        ]
    listed += ["*"] if arguments.kwonlyargs or arguments.vararg else []
    listed += [_argument(arg, default) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return listed + (["**"] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"


def fields(node: ast.ClassDef) -> set[str]:
    return {item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}


def excepted(file: str) -> set[str]:
    return {name for names in EXCEPTIONS.get(file, {}) for name in names.split()}


def shared_files() -> list[str]:
    return [file for file in sorted(set.intersection(*map(files, NAMES))) if not file.endswith("__init__.py")]


def differing_names(file: str) -> set[str]:
    """Public functions and classes that not every backend has in this file."""
    differing: set[str] = set()
    for kind in (functions, classes):
        names = [{name for name in kind(BACKENDS / backend / file) if not name.startswith("_")} for backend in NAMES]
        differing |= set.union(*names) - set.intersection(*names)
    return differing


def differing_signatures(file: str) -> set[str]:
    """Functions of the same name, private ones too, whose arguments differ."""
    each = [functions(BACKENDS / backend / file) for backend in NAMES]
    common = set.intersection(*map(set, each))
    if file == "losses/catalogue.py":  # private helpers of formulas
        common = {name for name in common if not name.startswith("_")}
    return {name for name in common if len({tuple(signature(functions[name])) for functions in each}) > 1}


def test_the_same_files():
    every = {name: files(name) for name in NAMES}
    partly = set.union(*every.values()) - set.intersection(*every.values())
    assert partly <= FILES.keys()
    assert all(FILES.values())


@pytest.mark.parametrize("file", shared_files())
def test_the_same_names_and_signatures(file: str):
    """But for the exceptions; and what mirrors again leaves their list."""
    assert differing_names(file) | differing_signatures(file) == excepted(file)


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


def test_every_exception_is_of_a_file():
    assert EXCEPTIONS.keys() <= set(shared_files())
