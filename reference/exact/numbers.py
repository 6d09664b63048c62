"""The numbers that the multiprecision definition is made of: log-probabilities of a row and powers of probabilities.

Numbers are mpmath's raw ones (`mpmath.libmp`), which are several times faster than `mpf` objects. Classes with equal
logits on both sides are held once, with a count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import libmp

Raw = tuple  # a number of mpmath.libmp: (sign, mantissa, exponent, bit count)


def to_raw(name: str, value: Any) -> Raw:
    """`value` as a raw number: floats, integers and mpf exactly, strings and fractions to 400 digits."""
    if isinstance(value, mpmath.mpf):
        return value._mpf_
    if isinstance(value, int):
        return libmp.from_int(value)
    try:
        with mpmath.workdps(400):
            if isinstance(value, Fraction):
                return (mpmath.mpf(value.numerator) / value.denominator)._mpf_
            if isinstance(value, str):
                return mpmath.mpf(value)._mpf_
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} holds {value!r}; it must be a real number") from None
    return libmp.from_float(number) if not math.isinf(number) else (libmp.finf if number > 0 else libmp.fninf)


@dataclass(frozen=True)
class Classes:
    """The distinct (student, teacher) numbers of a row, how often each occurs, and which each class has."""

    student: list[Raw]
    teacher: list[Raw]
    counts: list[int]
    index: list[int]

    @classmethod
    def of(cls, student: list[Raw], teacher: list[Raw]) -> Classes:
        """Group classes with the same pair of values, so that each pair is worked out once."""
        positions: dict[tuple[Raw, Raw], int] = {}
        index = [positions.setdefault(both, len(positions)) for both in zip(student, teacher, strict=True)]
        counts = [0] * len(positions)
        for position in index:
            counts[position] += 1
        return cls([z for z, _ in positions], [y for _, y in positions], counts, index)


class Powers:
    """Powers of probabilities given by their logarithms, each computed once and once for equal classes."""

    def __init__(self, logs: Sequence[Raw], bits: int) -> None:
        positions: dict[Raw, int] = {}
        self.index = [positions.setdefault(x, len(positions)) for x in logs]
        self.distinct = list(positions)
        self.bits = bits
        self._known: dict[Raw, list[Raw]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def logs(self) -> list[Raw]:
        """One logarithm for each class, in the classes' order."""
        return self._spread(self.distinct)

    def power(self, exponent: Raw) -> list[Raw]:
        """probability ** exponent for each class."""
        return self._spread(self._power(exponent))

    def _power(self, exponent: Raw) -> list[Raw]:
        if exponent not in self._known:
            self._known[exponent] = self._compute(exponent)
        return self._known[exponent]

    def _compute(self, exponent: Raw) -> list[Raw]:
        # Square roots, products and reciprocals of known powers cost a tenth of an exponential.
        bits = self.bits
        if exponent == libmp.fzero:
            return [libmp.fone] * len(self.distinct)
        if exponent[0]:
            return [libmp.mpf_div(libmp.fone, x, bits, "n") for x in self._power(libmp.mpf_neg(exponent))]
        if exponent == libmp.fhalf:
            return [libmp.mpf_sqrt(x, bits, "n") for x in self._power(libmp.fone)]
        if exponent == libmp.ftwo:
            return [libmp.mpf_mul(x, x, bits, "n") for x in self._power(libmp.fone)]
        return [libmp.mpf_exp(libmp.mpf_mul(exponent, x, bits, "n"), bits, "n") for x in self.distinct]

    def _spread(self, values: list[Raw]) -> list[Raw]:
        return values if len(values) == len(self.index) else [values[i] for i in self.index]


@dataclass
class Logs:
    """Logarithms of one row at one precision; classes with a zero probability are kept apart."""

    bits: int
    counts: list[int]  # how often each distinct class occurs
    both: list[int]  # distinct classes where p > 0 and q > 0
    log_p: Powers
    log_q: Powers
    student_only: list[int]  # p = 0 < q
    student_only_q: Powers
    teacher_only: list[int]  # q = 0 < p
    teacher_only_p: Powers

    def sum(self, positions: list[int], terms: Sequence[Raw]) -> Raw:
        """The sum over classes of terms given for the distinct classes at `positions`."""
        return libmp.mpf_sum(self._weighted(positions, terms), self.bits, "n")

    def size(self, positions: list[int], terms: Sequence[Raw]) -> Raw:
        """The sum of absolute values, roughly."""
        return libmp.mpf_sum(self._weighted(positions, terms), 64, "n", absolute=True)

    def _weighted(self, positions: list[int], terms: Sequence[Raw]) -> list[Raw]:
        counts = [self.counts[position] for position in positions]
        return [
            x if count == 1 else libmp.mpf_mul_int(x, count, self.bits, "n") for x, count in zip(terms, counts, strict=True)
        ]

    def reach(self) -> int:
        """Bits by which |log p| and |log q| exceed 1: an exponential loses that many."""
        exponents = [
            libmp.mpf_abs(x)[2] + x[3]
            for side in (self.log_p, self.log_q, self.student_only_q, self.teacher_only_p)
            for x in side.distinct
            if x != libmp.fzero
        ]
        return max([0, *exponents])


def logs_of_logits(classes: Classes, temperature: Raw, bits: int) -> Logs:
    """Log-probabilities of both softmax distributions at a temperature, to `bits` bits."""
    log_p, log_q = (log_softmax(logits, classes.counts, temperature, bits) for logits in (classes.teacher, classes.student))
    return _split_by_support(log_p, log_q, classes.counts, bits)


def log_softmax(logits: list[Raw], counts: list[int], temperature: Raw, bits: int) -> list[Raw]:
    """log softmax(z/T) of logits that occur `counts` times; −inf stays −inf."""
    top = logits[0]
    for z in logits:
        top = z if libmp.mpf_gt(z, top) else top
    below: dict[Raw, Raw] = {}
    occurs: dict[Raw, int] = {}
    for z, count in zip(logits, counts, strict=True):
        if z != libmp.fninf:
            below[z] = below.get(z) or libmp.mpf_div(libmp.mpf_sub(z, top), temperature, bits, "n")
            occurs[z] = occurs.get(z, 0) + count
    weights = [libmp.mpf_mul_int(libmp.mpf_exp(x, bits, "n"), occurs[z], bits, "n") for z, x in below.items()]
    partition = libmp.mpf_log(libmp.mpf_sum(weights, bits, "n"), bits, "n")
    logs = {z: libmp.mpf_sub(x, partition, bits, "n") for z, x in below.items()}
    return [logs.get(z, libmp.fninf) for z in logits]


def logs_of_probabilities(classes: Classes, bits: int) -> Logs:
    """Logarithms of probabilities that are given, −inf for 0, to `bits` bits."""
    log_p, log_q = (
        [libmp.fninf if x == libmp.fzero else libmp.mpf_log(x, bits, "n") for x in side]
        for side in (classes.teacher, classes.student)
    )
    return _split_by_support(log_p, log_q, classes.counts, bits)


def _split_by_support(log_p: list[Raw], log_q: list[Raw], counts: list[int], bits: int) -> Logs:
    none = libmp.fninf
    both = [k for k, (s, t) in enumerate(zip(log_p, log_q, strict=True)) if s != none and t != none]
    student_only = [k for k, (s, t) in enumerate(zip(log_p, log_q, strict=True)) if s == none and t != none]
    teacher_only = [k for k, (s, t) in enumerate(zip(log_p, log_q, strict=True)) if s != none and t == none]
    return Logs(
        bits=bits,
        counts=counts,
        both=both,
        log_p=Powers([log_p[k] for k in both], bits),
        log_q=Powers([log_q[k] for k in both], bits),
        student_only=student_only,
        student_only_q=Powers([log_q[k] for k in student_only], bits),
        teacher_only=teacher_only,
        teacher_only_p=Powers([log_p[k] for k in teacher_only], bits),
    )
