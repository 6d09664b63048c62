"""Rows of teacher and student logits, compared once for every divergence.

Differences of logits are taken before the temperature divides them, log-partitions are compared through one log1p, and
no two rounded exponents are ever subtracted. Everything is branch-free, so that torch.compile fuses it and rows hold on
chip.
"""

import math
from typing import NamedTuple

import torch

from .divided_differences import expm1_negative_, with_sign_of_


def compute_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which logits are computed with and values are returned: float64 for float64 students, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class Rows(NamedTuple):
    """Softmax statistics of rows of logits, `[rows, classes]`, or `[rows, 1]` where marked with 1.

    A class is absent whose logit is −inf, or so far below its row's largest that products with it would leave the type's
    range, as the least number is that libraries mask logits with. `compare_rows` leaves δ = 0 there, and s = t, the
    log-probability of the side that is there (0 where neither is); `with_absent_far` puts the absent probability out of the
    type's range instead.

    Attributes:
        teacher_log, student_log: s = log p and t = log q, p the teacher's probabilities and q the student's.
        log_ratio: δ = s − t, without the rounding of s and t.
        relative: δ before `shift` is taken off: the difference of the logits relative to their maxima, over the
            temperature, rounded once.
        shift: log-partition of the teacher less the student's (1), so that δ = relative − shift.
        top_relative: `relative` of the student's most likely class, −inf where the teacher forbids it (1).
        log_partition: of the student, so that its most likely class has t = −log_partition (1).
        student_probability: q, 0 where the student's logit is −inf; None where no gradient is asked for.
        no_teacher, no_student: where that side's class is absent; None where none is.
    """

    teacher_log: torch.Tensor
    student_log: torch.Tensor
    log_ratio: torch.Tensor
    relative: torch.Tensor
    shift: torch.Tensor
    top_relative: torch.Tensor
    log_partition: torch.Tensor
    student_probability: torch.Tensor | None
    no_teacher: torch.Tensor | None
    no_student: torch.Tensor | None

    @property
    def top_log_ratio(self) -> torch.Tensor:
        """δ of the student's most likely class (1)."""
        return self.top_relative - self.shift

    @property
    def from_top(self) -> torch.Tensor:
        """δ less that of the student's most likely class."""
        return self.relative - self.top_relative


def compare_rows(
    z_s: torch.Tensor,
    z_t: torch.Tensor,
    inverse_temperature: torch.Tensor | float,
    farthest: torch.Tensor | float,
    *,
    finite: bool,
    with_gradient: bool = True,
) -> tuple[Rows, torch.Tensor]:
    """Compare two sets of logits `[rows, classes]` of the computing type.

    Args:
        z_s, z_t: logits of student and teacher.
        inverse_temperature: 1/temperature.
        farthest: of `operands.farthest`.
        finite: no class is absent, so that the work for them is left out.
        with_gradient: whether `Rows.student_probability` is asked for.

    Returns:
        The rows, and `[rows, 1]`, NaN for a row without a finite logit, with NaN or with +inf, else 0.
    """
    eager = finite and not torch.compiler.is_compiling()
    max_s, most_likely = z_s.max(-1, keepdim=True) if eager else (z_s.amax(-1, keepdim=True), None)
    max_t = z_t.amax(-1, keepdim=True)
    poison = torch.where(torch.isfinite(max_s) & torch.isfinite(max_t), 0.0, math.nan).to(z_s.dtype)
    a, b, w0 = _relative_logits(z_s, z_t, max_s, max_t, inverse_temperature)
    no_s = no_t = None
    if not finite:
        a, b = (_within_range(*x, inverse_temperature) for x in ((a, z_s, max_s), (b, z_t, max_t)))
        no_s, no_t = a <= -farthest, b <= -farthest
        w0 = torch.where(torch.isfinite(w0), w0, b - a)  # the rows' largest logits may be as far apart as the type allows
        only_b, only_a = torch.where(no_t, 0.0, b), torch.where(no_s, 0.0, a)
        a, b, w0 = torch.where(no_s, only_b, a), torch.where(no_t, only_a, b), torch.where(no_s | no_t, 0.0, w0)

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
    return Rows(s, t, delta, w0, shift, top, log_s, q, no_t, no_s), poison


def _difference(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x − y rounded, and minus what the rounding left out (Knuth's TwoDiff)."""
    high = x - y
    back = high - x
    return high, (high - back).sub_(x).add_(back.add_(y))


def _within_range(
    relative: torch.Tensor, z: torch.Tensor, largest: torch.Tensor, inverse_temperature: torch.Tensor | float
) -> torch.Tensor:
    """Relative logits, also where the difference leaves the type's range and would not over a high temperature."""
    apart = z * inverse_temperature - largest * inverse_temperature
    return torch.where(relative == -math.inf, torch.where(apart.isnan(), -math.inf, apart), relative)


def _relative_logits(
    z_s: torch.Tensor, z_t: torch.Tensor, max_s: torch.Tensor, max_t: torch.Tensor, inverse_temperature: torch.Tensor | float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits less their row's maximum, over the temperature (student, teacher), and their difference to the last digit."""
    high, minus_low = _difference(z_t, z_s)
    high_max, minus_low_max = _difference(max_t, max_s)
    a, b = (z_s - max_s).mul_(inverse_temperature), (z_t - max_t).mul_(inverse_temperature)
    w0 = high.sub_(high_max).sub_(minus_low.sub_(minus_low_max)).mul_(inverse_temperature)
    return a, b, w0


def with_absent_far(rows: Rows) -> Rows:
    """The same rows, an absent class so far away that its probability is 0 in the computing type, and δ finite.

    Limits that are finite then come out by themselves; a class that both sides forbid has δ = 0. The student's
    probabilities are there, whether or not a gradient is asked for.
    """
    no_s, no_t = rows.no_student, rows.no_teacher
    if no_s is not None and no_t is not None:
        distance = 2000.0 if rows.log_ratio.dtype == torch.float64 else 200.0
        delta = torch.where(no_s, distance, rows.log_ratio) - torch.where(no_t, distance, 0.0)
        rows = rows._replace(
            log_ratio=delta,
            relative=torch.where(no_s | no_t, delta + rows.shift, rows.relative),
            teacher_log=torch.where(no_t, rows.teacher_log - distance, rows.teacher_log),
            student_log=torch.where(no_s, rows.student_log - distance, rows.student_log),
        )
    if rows.student_probability is None:
        rows = rows._replace(student_probability=torch.exp(rows.student_log))
    return rows
