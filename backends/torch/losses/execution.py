"""How divergences run: in blocks of rows, compiled, or eager where no compiler is at hand or the problem is small.

Compiled code is specialised on the divergence (the α-β one on the sign pattern of (α, β)), the logits' types and the
device, each variant under a code object of its own, so that no sequence of parameters exhausts torch.compile's recompile
limit. `fullgraph=True` makes sure that nothing falls back to eager mode unnoticed.
"""

import functools
import os
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from .operands import check_operands
from .rows import compare_rows, compute_type

# fewer elements than this run eagerly: compiling takes seconds, and one call saves less than a millisecond
COMPILE_FROM = 1 << 18
# logits over the temperature that are all within this of each other need none of the care that absent classes do
NEAR = 1e9
# elements of a block of rows: on a CPU it stays in the last-level cache, on a GPU it bounds the temporaries
BLOCK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 27}
# the same for eager code on a CPU, whose many temporaries should stay in the cache and be reused by the allocator
EAGER_BLOCK_ELEMENTS = 1 << 19

_eager_because: str | None = "ABKD_TORCH_COMPILE=0" if os.environ.get("ABKD_TORCH_COMPILE") == "0" else None


class Definition(NamedTuple):
    """What makes one divergence.

    Attributes:
        classes: (rows, scalars, row parameters, pattern) -> (terms, slopes), both `[rows, classes]`: what each class
            adds to the value, and h up to a multiple of the row's q, best the one that makes it 0 at the student's most
            likely class. Slopes may be None where `rows.student_probability` is. Those of the catalogue are
            made by `row_divergence`.
        prepare: (parameters, temperature, computing type) -> (scalars for `classes`, 1/temperature and `farthest` first;
            pattern that its code is specialised on, with a field `finite`).
        checks: of its parameters by name.
        row_parameters: (student, teacher, parameters, temperature) -> `[rows, n]`, numbers that depend on the logits
            and are held constant; None for a divergence that has none.
    """

    classes: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
    prepare: Callable[[Sequence[float], float, torch.dtype], tuple[list[float], Any]]
    checks: Mapping[str, Callable[[str, float], float]]
    row_parameters: Callable[..., torch.Tensor] | None = None


# every divergence by name: what travels through a compiled graph is the name
DEFINITIONS: dict[str, Definition] = {}


def value_and_gradient(
    definition: Definition,
    student: torch.Tensor,
    teacher: torch.Tensor,
    weight: torch.Tensor,
    values: torch.Tensor,
    row_parameters: torch.Tensor | None,
    pattern: Any,
    with_gradient: bool = True,
    out: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Evaluate rows of logits.

    Args:
        definition: of the divergence.
        student, teacher: logits `[rows, classes]`, any floating type.
        weight: factor of each row's gradient over the temperature `[rows]`, computing type; a row of weight 0 counts as
            absent, whatever it holds.
        values: scalars of `definition.prepare` in the computing type; logits are converted to its type.
        row_parameters: of `definition.row_parameters`.
        pattern: what the code is specialised on.
        with_gradient: False leaves the gradient's work out.
        out: where the gradient goes, of the student's shape; None for a new tensor.

    Returns:
        The divergence of each row `[rows]` in the computing type, without its weight, and weight times its gradient
        with respect to the student's logits `[rows, classes]`, likewise (None without gradient).
    """
    rows, poison = compare_rows(
        student.to(values.dtype),
        teacher.to(values.dtype),
        *values[:2].unbind(),
        finite=pattern.finite,
        with_gradient=with_gradient,
    )
    terms, slopes = definition.classes(rows, values, row_parameters, pattern)
    value = terms.sum(-1) + poison[:, 0]
    value = torch.where(weight == 0, 0.0, value)
    if not with_gradient:
        return value, None
    limit = torch.finfo(values.dtype).max / (4 * student.shape[-1])  # an overflow must not become inf − inf
    slopes = slopes.clamp(-limit, limit)
    gradient = (rows.student_probability * slopes.sum(-1, keepdim=True)).sub_(slopes).mul_(weight[:, None])
    if rows.no_student is not None:
        gradient = torch.where(rows.no_student, poison, gradient)
    if _may_hold(weight == 0):
        gradient = torch.where(weight[:, None] == 0, 0.0, gradient)
    return value, gradient if out is None else out.copy_(gradient)


def _may_hold(condition: torch.Tensor) -> bool:
    """False only if the condition holds nowhere; asked where the answer needs no wait for an accelerator."""
    return torch.compiler.is_compiling() or condition.device.type != "cpu" or bool(condition.any())


@functools.lru_cache(maxsize=256)
def _scalars(
    divergence: str, parameters: tuple[float, ...], temperature: float, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, Any]:
    definition = DEFINITIONS[divergence]
    values, pattern = definition.prepare(*check_operands(definition.checks, parameters, temperature, dtype), dtype)
    # a cached tensor must not be an inference tensor, whatever mode the first call came in
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device), pattern


@functools.cache
def _compiled(
    divergence: str, pattern: Any, with_gradient: bool, student: torch.dtype, teacher: torch.dtype, device: str
) -> Callable:
    """One compiled variant; called with (student, teacher, weight, values, row parameters, out); the rows' values."""
    definition = DEFINITIONS[divergence]

    def rows(student, teacher, weight, values, row_parameters, out):
        arguments = (student, teacher, weight, values, row_parameters)
        return value_and_gradient(definition, *arguments, pattern, with_gradient, out)[0]

    name = f"{divergence}_{len(_VARIANTS)}"
    _VARIANTS.append((divergence, pattern, with_gradient, student, teacher, device))
    code = rows.__code__.replace(co_name=name)  # Dynamo counts recompilations by code object
    own = types.FunctionType(code, rows.__globals__, name, None, rows.__closure__)
    return torch.compile(own, dynamic=True, fullgraph=True)


_VARIANTS: list[tuple] = []


def compiled_variants() -> int:
    """Number of variants compiled so far in this process."""
    return len(_VARIANTS)


def _run_block(arguments: tuple, key: tuple, compile_it: bool) -> torch.Tensor:
    """Run one block of rows, compiled if asked and possible; the first failure to compile is said once."""
    global _eager_because
    if compile_it and _eager_because is None:
        try:
            return _compiled(*key)(*arguments)
        except Exception as error:
            if not _is_compile_failure(error):
                raise
            _eager_because = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
            warnings.warn(
                "torch.compile does not work here, so this divergence runs in eager blocks of rows, about 5 times "
                f"slower than compiled and with the same results ({_eager_because}). For the CPU it needs a C++ compiler "
                "such as g++.",
                RuntimeWarning,
                stacklevel=2,
            )
    divergence, pattern, with_gradient, *_ = key
    return value_and_gradient(DEFINITIONS[divergence], *arguments[:-1], pattern, with_gradient, arguments[-1])[0]


def _is_compile_failure(error: Exception) -> bool:
    """Whether torch.compile itself failed, and not the call (an out-of-memory error, say)."""
    modules = {cls.__module__.split(".")[:2][-1] for cls in type(error).__mro__}
    return bool(modules & {"_dynamo", "_inductor"})


def _all_near(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> bool:
    """Whether no logit is NaN, infinite or far from another, asked only where the answer needs no wait."""
    if student.device.type != "cpu" or student.numel() == 0:
        return False
    ranges = (torch.stack(logits.aminmax()).tolist() for logits in (student, teacher))
    return all(high - low < NEAR * temperature for low, high in ranges)


def run_rows(
    divergence: str,
    parameters: Sequence[float],
    student: torch.Tensor,
    teacher: torch.Tensor,
    weight: torch.Tensor,
    temperature: float,
    with_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Value `[rows]` and weighted gradient `[rows, classes]` of all rows, in the computing type, block by block.

    Args:
        divergence: key of `DEFINITIONS`.
        parameters: the divergence's own, checked.
        student, teacher: logits `[rows, classes]`.
        weight: factor of each row's gradient `[rows]`, computing type; rows of weight 0 count as absent.
        temperature: checked.
        with_gradient: False returns None for the gradient.
    """
    rows, classes = student.shape
    dtype = compute_type(student.dtype)
    values, pattern = _scalars(divergence, tuple(parameters), temperature, dtype, student.device)
    row_parameters = DEFINITIONS[divergence].row_parameters
    # torch.compile treats a size of 1 as a constant, which would be a variant of its own
    compile_it = rows > 1 and classes > 1 and rows * classes >= COMPILE_FROM
    elements = BLOCK_ELEMENTS.get(student.device.type, BLOCK_ELEMENTS["cuda"])
    if student.device.type == "cpu" and not (compile_it and _eager_because is None):
        elements = EAGER_BLOCK_ELEMENTS
    size = min(rows, max(2, elements // classes))
    value = torch.empty(rows, dtype=dtype, device=student.device)
    gradient = torch.empty(student.shape, dtype=dtype, device=student.device) if with_gradient else None
    scale = (weight / temperature).clamp(max=torch.finfo(dtype).max)
    for start in range(0, rows, size or 1):
        # the last block reaches back, so that every block has the same shape
        part = slice(min(start, rows - size), min(start, rows - size) + size)
        logits = (student[part].contiguous(), teacher[part].contiguous())
        numbers = None if row_parameters is None else row_parameters(*logits, parameters, temperature).to(dtype)
        block = (*logits, scale[part], values, numbers, None if gradient is None else gradient[part])
        finite = pattern._replace(finite=_all_near(*logits, temperature))
        key = (divergence, finite, with_gradient, student.dtype, teacher.dtype, student.device.type)
        value[part] = _run_block(block, key, compile_it)
    return value, gradient
