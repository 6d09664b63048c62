"""The other divergences of the catalogue as they are defined, in mpmath, at any number of digits.

Each is its textbook sum over probabilities p (teacher) and q (student) and the plain derivative of that sum; no formula
is shared with the float64 code. What cancels is not analysed: a row is evaluated with more and more bits until two
evaluations agree in the digits asked for, and the bits of a probability near 1 reach to those digits of the result.

Zero probabilities follow the limits: 0 · ln 0 = 0, a class that is 0 on both sides counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import libmp, mpf
from numpy.typing import ArrayLike, NDArray

from reference.arguments import check_temperature
from reference.distributions import evaluate_rows
from reference.exact.definition import differ_by_a_constant
from reference.exact.numbers import Classes, Raw, log_softmax, to_raw

MAXIMUM_BITS = 1 << 17
_FIRST_BITS = 256
# more than float64 holds
_FLOAT64_DIGITS = 18
# Numbers below this have fewer digits: they are beyond what float64 holds in full.
_SMALLEST = mpf("1e-300")


@dataclass(frozen=True)
class Probabilities:
    """One row at one precision; classes with equal logits on both sides are held once.

    Attributes:
        p, q: teacher's and student's probabilities of the distinct classes.
        log_p, log_q: their logarithms; −inf where a probability is 0.
        counts: how often each distinct class occurs.
        order: the distinct class of each class of the row.
    """

    p: list[mpf]
    q: list[mpf]
    log_p: list[mpf]
    log_q: list[mpf]
    counts: list[int]
    order: list[int]

    def sum(self, terms: Sequence[Any]) -> mpf:
        """Σ over all classes of terms of the distinct ones."""
        return mpmath.fsum(count * term for count, term in zip(self.counts, terms, strict=True))

    def classes(self) -> list[tuple[mpf, mpf, mpf, mpf]]:
        """(p, q, ln p, ln q) of each distinct class."""
        return list(zip(self.p, self.q, self.log_p, self.log_q, strict=True))


# A value and q_k ∂D/∂q_k of each distinct class, q taken as free numbers: what softmax adds is common to all.
ValueAndSlopes = tuple[mpf, list[mpf]]
Definition = Callable[..., ValueAndSlopes]


def forward_kl(row: Probabilities) -> ValueAndSlopes:
    """KL(p‖q) = Σ p ln(p/q)."""
    terms = [p * (s - t) if p else mpf(0) for p, q, s, t in row.classes()]
    return row.sum(terms), [-p for p in row.p]


def reverse_kl(row: Probabilities) -> ValueAndSlopes:
    """KL(q‖p) = Σ q ln(q/p)."""
    terms = [q * (t - s) if q else mpf(0) for p, q, s, t in row.classes()]
    # ln(q/p) + 1 without the 1 that is common to all; infinite where only the teacher forbids a class, then left out
    return row.sum(terms), [q * (t - s) if p and q else mpf(0) for p, q, s, t in row.classes()]


def squared_hellinger(row: Probabilities) -> ValueAndSlopes:
    """½ Σ (√p − √q)²."""
    roots = [(mpmath.sqrt(p), mpmath.sqrt(q)) for p, q in zip(row.p, row.q, strict=True)]
    return row.sum([(a - b) ** 2 for a, b in roots]) / 2, [b * (b - a) / 2 for a, b in roots]


def squared_euclidean(row: Probabilities) -> ValueAndSlopes:
    """½ Σ (p − q)²."""
    pairs = list(zip(row.p, row.q, strict=True))
    return row.sum([(p - q) ** 2 for p, q in pairs]) / 2, [q * (q - p) for p, q in pairs]


def weighted_sum(row: Probabilities, weight: mpf) -> ValueAndSlopes:
    """(1 − w) KL(p‖q) + w KL(q‖p)."""
    return _combination(row, 1 - weight, weight)


def jensen_shannon(row: Probabilities, weight: mpf) -> ValueAndSlopes:
    """λ KL(q‖m) + (1 − λ) KL(p‖m), m = (1 − λ) p + λ q."""
    terms, slopes = [], []
    for p, q, s, t in row.classes():
        m = (1 - weight) * p + weight * q
        log_m = mpmath.log(m) if m else mpf(0)
        terms.append((weight * q * (t - log_m) if q else 0) + ((1 - weight) * p * (s - log_m) if p else 0))
        slopes.append(weight * q * (t - log_m) if q else mpf(0))
    return row.sum(terms), slopes


def skewed_forward_kl(row: Probabilities, weight: mpf) -> ValueAndSlopes:
    """KL(p‖m), m = λ p + (1 − λ) q."""
    terms, slopes = [], []
    for p, q, s, _ in row.classes():
        m = weight * p + (1 - weight) * q
        terms.append(p * (s - mpmath.log(m)) if p else mpf(0))
        slopes.append(-(1 - weight) * p * q / m if q else mpf(0))
    return row.sum(terms), slopes


def skewed_reverse_kl(row: Probabilities, weight: mpf) -> ValueAndSlopes:
    """KL(q‖m), m = (1 − λ) p + λ q."""
    terms, slopes = [], []
    for p, q, _, t in row.classes():
        m = (1 - weight) * p + weight * q
        log_m = mpmath.log(m) if m else mpf(0)
        terms.append(q * (t - log_m) if q else mpf(0))
        slopes.append(q * (t - log_m + 1 - weight * q / m) if q else mpf(0))
    return row.sum(terms), slopes


def total_variation(row: Probabilities) -> ValueAndSlopes:
    """½ Σ |p − q|; a class with p = q has slope 0."""
    differences = [q - p for p, q in zip(row.p, row.q, strict=True)]
    slopes = [q * mpmath.sign(d) / 2 for q, d in zip(row.q, differences, strict=True)]
    return row.sum([abs(d) for d in differences]) / 2, slopes


def adaptive_kl(row: Probabilities, head: mpf) -> ValueAndSlopes:
    """w KL(p‖q) + (1 − w) KL(q‖p), w the head's share of Σ |p − q|, held constant (½ where p = q).

    The head: classes by falling p (the lower index first where equal) while their sum is at most `head`; at least one.
    """
    ranked = sorted(range(len(row.order)), key=lambda k: row.p[row.order[k]], reverse=True)
    gaps = [abs(p - q) for p, q in zip(row.p, row.q, strict=True)]
    cumulative = inside = mpf(0)
    for rank, k in enumerate(ranked):
        cumulative += row.p[row.order[k]]
        if rank and cumulative > head:
            break
        inside += gaps[row.order[k]]
    total = row.sum(gaps)
    share = inside / total if total else mpf(1) / 2
    return _combination(row, share, 1 - share)


def bidirectional_kl(row: Probabilities, low: mpf, high: mpf) -> ValueAndSlopes:
    """w_T KL(p‖q) + w_S KL(q‖p): w_T is `high` where H(p) > H(q), w_S where H(q) > H(p), else `low`."""
    teacher = -row.sum([p * s if p else mpf(0) for p, _, s, _ in row.classes()])
    student = -row.sum([q * t if q else mpf(0) for _, q, _, t in row.classes()])
    return _combination(row, high if teacher > student else low, high if student > teacher else low)


def _combination(row: Probabilities, forward: mpf, reverse: mpf) -> ValueAndSlopes:
    """forward · KL(p‖q) + reverse · KL(q‖p); a term of weight 0 is left out."""
    value, slopes = mpf(0), [mpf(0)] * len(row.p)
    for weight, part in ((forward, forward_kl), (reverse, reverse_kl)):
        if weight:
            added, slope = part(row)
            value += weight * added
            slopes = [x + weight * y for x, y in zip(slopes, slope, strict=True)]
    return value, slopes


def row_of(definition: Definition) -> Callable[..., DefinedRow]:
    """(student_logits, teacher_logits, temperature) of one row -> that row, to be evaluated by `definition`."""

    def make(student_logits: Sequence[Any], teacher_logits: Sequence[Any], temperature: Any = 1) -> DefinedRow:
        return DefinedRow(definition, student_logits, teacher_logits, temperature)

    return make


def in_float64(exact: Callable[..., DefinedRow]) -> Callable[..., tuple[Any, Any]]:
    """The value and gradient of a divergence with all arguments of the float64 code, each row by its definition.

    Args:
        exact: (student_logits, teacher_logits, temperature) of one row -> that row, as `row_of` gives it.
    """

    def reference(student_logits: ArrayLike, teacher_logits: ArrayLike, *parameters: float, **options: Any) -> tuple[Any, Any]:
        raw = [to_raw("parameter", float(value)) for value in parameters]

        def rows(student: NDArray, teacher: NDArray, temperature: float) -> tuple[NDArray, NDArray]:
            values, gradients = np.empty(len(student)), np.empty(student.shape)
            for position, (z, y) in enumerate(zip(student.tolist(), teacher.tolist(), strict=True)):
                value, gradient = exact(z, y, temperature).value_and_gradient(*raw, digits=_FLOAT64_DIGITS)
                values[position], gradients[position] = float(value), [libmp.to_float(x) for x in gradient]
            return values, gradients

        return evaluate_rows(rows, student_logits, teacher_logits, **options)

    return reference


class DefinedRow:
    """One row of logits under one definition; finite logits or −inf, at least one finite on each side."""

    def __init__(
        self, definition: Definition, student_logits: Sequence[Any], teacher_logits: Sequence[Any], temperature: Any = 1
    ) -> None:
        self._definition = definition
        student = [to_raw("student_logits", z) for z in student_logits]
        teacher = [to_raw("teacher_logits", z) for z in teacher_logits]
        check_temperature(temperature)
        if len(student) != len(teacher) or not student:
            raise ValueError(
                f"teacher_logits has {len(teacher)} entries and student_logits {len(student)}; "
                "they must have the same number, at least one"
            )
        self._temperature = to_raw("temperature", temperature)
        self._classes = Classes.of(student, teacher)
        self._identical = differ_by_a_constant(student, teacher)
        self._known: dict[int, Probabilities] = {}

    def value_and_gradient(self, *parameters: Raw, digits: int) -> tuple[mpf, list[Raw]]:
        """The value, and the gradient with respect to the student's logits as raw numbers of mpmath.libmp.

        Both have `digits` significant digits, the gradient relative to its largest entry; fewer below 1e-300.
        """
        if self._identical:
            return mpf(0), [libmp.fzero] * len(self._classes.index)
        bits, before = _FIRST_BITS, None
        while bits <= MAXIMUM_BITS:
            with mpmath.workprec(bits):
                after = self._evaluate([mpmath.mp.make_mpf(x) for x in parameters], bits)
                if before and _agree(before, after, digits) and _resolved(after, digits, bits):
                    return after[0], [after[1][position]._mpf_ for position in self._classes.index]
            bits, before = 2 * bits, after
        raise ArithmeticError(f"{digits} digits of the divergence need more than {MAXIMUM_BITS} bits")

    def _evaluate(self, parameters: list[mpf], bits: int) -> tuple[mpf, list[mpf]]:
        row = self._known.get(bits) or self._known.setdefault(bits, self._probabilities(bits))
        value, slopes = self._definition(row, *parameters)
        total = row.sum(slopes)
        temperature = mpmath.mp.make_mpf(self._temperature)
        # a class that the student forbids stays so
        gradient = [(slope - q * total) / temperature if q else mpf(0) for q, slope in zip(row.q, slopes, strict=True)]
        return value, gradient

    def _probabilities(self, bits: int) -> Probabilities:
        counts = self._classes.counts
        log_p, log_q = (
            [mpmath.mp.make_mpf(x) for x in log_softmax(side, counts, self._temperature, bits)]
            for side in (self._classes.teacher, self._classes.student)
        )
        p, q = ([mpmath.exp(x) for x in side] for side in (log_p, log_q))
        return Probabilities(p, q, log_p, log_q, counts, self._classes.index)


def _agree(before: ValueAndSlopes, after: ValueAndSlopes, digits: int) -> bool:
    (value, gradient), (better, better_gradient) = before, after
    tolerance = mpf(10) ** -digits
    size = max(*map(abs, better_gradient), _SMALLEST)
    return (value == better or abs(better - value) <= tolerance * max(abs(better), _SMALLEST)) and all(
        abs(x - y) <= tolerance * size for x, y in zip(gradient, better_gradient, strict=True)
    )


def _resolved(after: ValueAndSlopes, digits: int, bits: int) -> bool:
    """Whether `bits` bits of probabilities near 1 reach to the last digit of the value and of the gradient."""
    value, gradient = after
    size = min(max(abs(value), _SMALLEST), max(*map(abs, gradient), _SMALLEST))
    return mpf(2) ** -bits <= mpf(10) ** -(digits + 3) * size
