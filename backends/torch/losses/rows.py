"""Rows of teacher and student logits, compared once, and the one way in which every divergence is computed from them.

A divergence is a row function: of the compared rows and its parameters it gives what each class adds to the value, and
h = −∂D/∂t, t the student's log-probabilities. What all divergences share is here.

Differences of logits are taken before the temperature divides them, log-partitions are compared through one log1p, and
no two rounded exponents are ever subtracted. Everything is branch-free, so that torch.compile fuses it and rows hold on
chip.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from .divided_differences import expm1_negative_, with_sign_of_


class Rows(NamedTuple):
    """Softmax statistics of rows of logits, `[rows, classes]`, or `[rows, 1]` where marked with 1.

    An absent class has a logit of −inf. `compare_rows` leaves δ = 0 there, and s = t, the log-probability of the side
    that is there (0 where neither is); `with_absent_far` puts the absent probability out of the type's range instead.

    Attributes:
        relative: δ before `shift` is taken off: the difference of the logits relative to their maxima, over the
            temperature, rounded once.
        shift: log-partition of the teacher less the student's (1), so that δ = relative − shift.
        delta: δ = s − t.
        s, t: log-probabilities of teacher and student.
        top: `relative` of the student's most likely class, −inf where the teacher forbids it (1).
        log_partition: of the student, so that its most likely class has t = −log_partition (1).
        q: the student's probabilities, 0 where its logit is −inf; None where no gradient is asked for.
        no_student, no_teacher: where that logit is −inf; None where no logit is.
    """

    relative: torch.Tensor
    shift: torch.Tensor
    delta: torch.Tensor
    s: torch.Tensor
    t: torch.Tensor
    top: torch.Tensor
    log_partition: torch.Tensor
    q: torch.Tensor | None
    no_student: torch.Tensor | None
    no_teacher: torch.Tensor | None


class Definition(NamedTuple):
    """What makes one divergence.

    Attributes:
        classes: (rows, scalars, row parameters, pattern) -> (terms, slopes), both `[rows, classes]`: what each class
            adds to the value, and h up to a multiple of the row's q, best the one that makes it 0 at the student's most
            likely class. Slopes may be None where `rows.q` is. For functions of `backends.torch.losses.catalogue` see there.
        prepare: (parameters, temperature, computing type) -> (scalars for `classes`, 1/temperature first; pattern that
            its code is specialised on, with a field `finite`).
        row_parameters: (student, teacher, parameters, temperature) -> `[rows, n]`, numbers that depend on the logits
            and are held constant; None for a divergence that has none.
    """

    classes: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
    prepare: Callable[[Sequence[float], float, torch.dtype], tuple[list[float], Any]]
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
            absent, whatever it holds. It is applied before the gradient is rounded to a narrower type.
        values: scalars of `definition.prepare` in the computing type; logits are converted to its type.
        row_parameters: of `definition.row_parameters`.
        pattern: what the code is specialised on.
        with_gradient: False leaves the gradient's work out.
        out: where the gradient goes, of the student's shape and type; None for a new tensor.

    Returns:
        The divergence of each row `[rows]` in the computing type, without its weight, and weight times its gradient
        with respect to the student's logits `[rows, classes]` in the student's type (None without gradient).
    """
    rows, poison = compare_rows(
        student.to(values.dtype), teacher.to(values.dtype), values[0], finite=pattern.finite, with_gradient=with_gradient
    )
    terms, slopes = definition.classes(rows, values, row_parameters, pattern)
    value = terms.sum(-1) + poison[:, 0]
    value = torch.where(weight == 0, 0.0, value)
    if not with_gradient:
        return value, None
    limit = torch.finfo(values.dtype).max / (4 * student.shape[-1])  # an overflow must not become inf − inf
    slopes = slopes.clamp(-limit, limit)
    gradient = (rows.q * slopes.sum(-1, keepdim=True)).sub_(slopes).mul_(weight[:, None])
    if rows.no_student is not None:
        gradient = torch.where(rows.no_student, poison, gradient)
    if _may_hold(weight == 0):
        gradient = torch.where(weight[:, None] == 0, 0.0, gradient)
    return value, gradient.to(student.dtype) if out is None else out.copy_(gradient)


def _may_hold(condition: torch.Tensor) -> bool:
    """False only if the condition holds nowhere; asked where the answer needs no wait for an accelerator."""
    return torch.compiler.is_compiling() or condition.device.type != "cpu" or bool(condition.any())


def compare_rows(
    z_s: torch.Tensor, z_t: torch.Tensor, inverse_temperature: torch.Tensor | float, *, finite: bool, with_gradient: bool = True
) -> tuple[Rows, torch.Tensor]:
    """Compare two sets of logits `[rows, classes]` of the computing type.

    Args:
        z_s, z_t: logits of student and teacher.
        inverse_temperature: 1/temperature.
        finite: no logit is −inf, so that the work for absent classes is left out.
        with_gradient: whether `Rows.q` is asked for.

    Returns:
        The rows, and `[rows, 1]`, NaN for a row without a finite logit, with NaN or with +inf, else 0.
    """
    eager = finite and not torch.compiler.is_compiling()
    max_s, most_likely = z_s.max(-1, keepdim=True) if eager else (z_s.amax(-1, keepdim=True), None)
    max_t = z_t.amax(-1, keepdim=True)
    poison = torch.where(torch.isfinite(max_s) & torch.isfinite(max_t), 0.0, math.nan).to(z_s.dtype)
    no_s, no_t = (None, None) if finite else (z_s == -math.inf, z_t == -math.inf)
    a, b, w0 = _relative_logits(z_s, z_t, max_s, max_t, no_s, no_t, inverse_temperature)

    e_s = torch.exp(a)
    size = torch.maximum(a, b).exp_().mul_(expm1_negative_(w0.abs().neg_())).neg_()
    change = with_sign_of_(size, w0)  # e^b − e^a
    if no_s is not None and no_t is not None:
        change = torch.where(no_s, torch.exp(b), torch.where(no_t, -e_s, change))
        e_s = torch.where(no_s, 0.0, e_s)
        change = torch.where(no_s & no_t, 0.0, change)
    sum_s = e_s.sum(-1, keepdim=True) + poison
    shift = torch.log1p(change.sum(-1, keepdim=True) / sum_s)
    log_s = torch.log(sum_s)
    delta = w0 - shift
    s, t = b.sub_(log_s + shift), a.sub_(log_s)
    if most_likely is None:
        is_top = z_s == max_s if no_t is None else (z_s == max_s) & ~no_t
        top = torch.where(is_top, w0, -math.inf).amax(-1, keepdim=True)
    else:
        top = w0.gather(-1, most_likely)
    if no_s is not None and no_t is not None:
        delta = torch.where(no_s | no_t, 0.0, delta)
        s, t = torch.where(no_t, t, s), torch.where(no_s, s, t)
        s, t = torch.where(no_s & no_t, 0.0, s), torch.where(no_s & no_t, 0.0, t)
    q = None
    if with_gradient:
        q = torch.exp(t) if no_s is None else torch.where(no_s, 0.0, torch.exp(t))
    return Rows(w0, shift, delta, s, t, top, log_s, q, no_s, no_t), poison


def _difference(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x − y rounded, and minus what the rounding left out (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (high - back).sub_(x).add_(back.add_(y))


def _relative_logits(
    z_s: torch.Tensor,
    z_t: torch.Tensor,
    max_s: torch.Tensor,
    max_t: torch.Tensor,
    no_s: torch.Tensor | None,
    no_t: torch.Tensor | None,
    inverse_temperature: torch.Tensor | float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits less their row's maximum, over the temperature (student, teacher), and their difference to the last digit.

    Where one of them is −inf both are the other one, where both are, 0; the caller puts the absent classes in.
    """
    high, minus_low = _difference(z_t, z_s)
    high_max, minus_low_max = _difference(max_t, max_s)
    a, b = (z_s - max_s).mul_(inverse_temperature), (z_t - max_t).mul_(inverse_temperature)
    w0 = high.sub_(high_max).sub_(minus_low.sub_(minus_low_max)).mul_(inverse_temperature)
    if no_s is None or no_t is None:
        return a, b, w0
    only_b, only_a = torch.where(no_t, 0.0, b), torch.where(no_s, 0.0, a)
    return torch.where(no_s, only_b, a), torch.where(no_t, only_a, b), torch.where(no_s | no_t, 0.0, w0)


def with_absent_far(rows: Rows) -> Rows:
    """The same rows, an absent class so far away that its probability is 0 in the computing type, and δ finite.

    Limits that are finite then come out by themselves; a class that both sides forbid has δ = 0.
    """
    no_s, no_t = rows.no_student, rows.no_teacher
    if no_s is None or no_t is None:
        return rows
    distance = 2000.0 if rows.delta.dtype == torch.float64 else 200.0
    delta = torch.where(no_s, distance, rows.delta) - torch.where(no_t, distance, 0.0)
    relative = torch.where(no_s | no_t, delta + rows.shift, rows.relative)
    s, t = torch.where(no_t, rows.s - distance, rows.s), torch.where(no_s, rows.t - distance, rows.t)
    return rows._replace(delta=delta, relative=relative, s=s, t=t)
