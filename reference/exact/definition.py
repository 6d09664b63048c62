"""The α-β-divergence as it is defined, in mpmath, at any number of digits.

This is the truth that everything else is checked against, so it follows the definition literally: Definition 4.1 of
"ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge Distillation via α-β-Divergence" (Wang et al.,
ICML 2025) with its four limits (Cichocki, Cruces & Amari, "Generalized Alpha-Beta Divergences", Entropy 13, 2011). It
shares no formula with the divided-difference form of `reference.divergences`.

The definition cancels: near α = 0, β = 0 or α + β = 0, for nearly equal distributions, and for confident ones. So each
evaluation bounds its own rounding error by the magnitude of what was added up, and is repeated with more bits until
that bound is below the digits asked for. The loops work on mpmath's raw numbers (`mpmath.libmp`), which are several
times faster than `mpf` objects, and on classes that have equal logits on both sides only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mpmath
from mpmath import libmp

from reference.arguments import check_real, check_temperature
from reference.exact.numbers import Classes, Logs, Raw, logs_of_logits, logs_of_probabilities, to_raw

# Bits beyond which an evaluation gives up: values as small as exp(-200000) are still resolved below it.
MAXIMUM_BITS = 1 << 20


def ab_divergence(*, p: Sequence[Any], q: Sequence[Any], alpha: Any, beta: Any, digits: int = 50) -> mpmath.mpf:
    """D_AB^(α,β)(p‖q) from probabilities.

    Args:
        p: teacher probabilities [C]: floats, fractions, strings or mpf, taken exactly; not negative.
        q: student probabilities [C], likewise.
        alpha: α, any real number; a float is taken exactly.
        beta: β, likewise.
        digits: significant decimal digits of the result.

    Returns:
        The value in nats; +inf where a zero probability makes it so.

    Raises:
        ValueError: for shapes that differ, a negative or non-finite probability, or a parameter that is not finite.
    """
    teacher, student = _probabilities("p", p), _probabilities("q", q)
    if len(teacher) != len(student):
        raise ValueError(f"q has {len(student)} entries; it must have as many as p, {len(teacher)}")
    pair = _pair(alpha, beta)
    row = ExactRow(Classes.of(student, teacher), logs_of_probabilities, identical=teacher == student)
    return row.value(*pair, digits=_check_digits(digits))


def ab_divergence_from_logits(
    *,
    student_logits: Sequence[Any],
    teacher_logits: Sequence[Any],
    alpha: Any,
    beta: Any,
    temperature: Any = 1,
    digits: int = 50,
) -> tuple[mpmath.mpf, list[mpmath.mpf]]:
    """D_AB^(α,β)(p‖q) of one row of logits, and its gradient with respect to the student's logits.

    Args:
        student_logits: z_S [C], finite or −inf, taken exactly; q = softmax(z_S / T).
        teacher_logits: z_T [C], likewise; p = softmax(z_T / T).
        alpha: α, any real number; a float is taken exactly.
        beta: β, likewise.
        temperature: T > 0.
        digits: significant decimal digits of the value, and of the gradient relative to its largest entry.

    Returns:
        The value in nats and the gradient [C]. Both are NaN when a row holds NaN or +inf or no finite logit. A class
        whose derivative is infinite (a forbidden class under some α, β) is left out of the gradient.

    Raises:
        ValueError: for lengths that differ, a parameter that is not finite, or a temperature that is not above 0.
    """
    value, gradient = exact_row(student_logits, teacher_logits, temperature).value_and_gradient(
        *_pair(alpha, beta), digits=_check_digits(digits)
    )
    return value, [mpmath.mp.make_mpf(entry) for entry in gradient]


def exact_row(student_logits: Sequence[Any], teacher_logits: Sequence[Any], temperature: Any = 1) -> ExactRow:
    """A row of logits to evaluate at several (α, β): its logarithms and powers are computed once.

    Arguments and errors are those of `ab_divergence_from_logits`.
    """
    student = [to_raw("student_logits", z) for z in student_logits]
    teacher = [to_raw("teacher_logits", z) for z in teacher_logits]
    check_temperature(temperature)
    temperature = to_raw("temperature", temperature)
    if len(student) != len(teacher) or not student:
        raise ValueError(
            f"teacher_logits has {len(teacher)} entries and student_logits {len(student)}; "
            "they must have the same number, at least one"
        )
    for logits in (student, teacher):
        if any(z in (libmp.fnan, libmp.finf) for z in logits) or all(z == libmp.fninf for z in logits):
            return ExactRow(Classes.of(student, teacher), None)
    return ExactRow(
        Classes.of(student, teacher),
        lambda classes, bits: logs_of_logits(classes, temperature, bits),
        identical=differ_by_a_constant(student, teacher),
        temperature=temperature,
    )


class ExactRow:
    """One row (p, q), to be evaluated at any number of (α, β); see `exact_row`."""

    def __init__(
        self,
        classes: Classes,
        logs: Callable[[Classes, int], Logs] | None,
        *,
        identical: bool = False,
        temperature: Raw = libmp.fone,
    ) -> None:
        self._make_logs = logs
        self._known: dict[int, Logs] = {}
        self._identical = identical
        self._temperature = temperature
        self._classes = classes

    def value(self, alpha: Raw, beta: Raw, *, digits: int) -> mpmath.mpf:
        """D_AB^(α,β)(p‖q) to `digits` significant digits."""
        if self._make_logs is None:
            return mpmath.nan
        if self._identical:
            return mpmath.mpf(0)
        value = self._refine(alpha, beta, digits, lambda logs: _value(logs, alpha, beta, digits))
        return mpmath.mp.make_mpf(libmp.mpf_pos(value, libmp.dps_to_prec(digits) + 8, "n"))

    def value_and_gradient(self, alpha: Raw, beta: Raw, *, digits: int) -> tuple[mpmath.mpf, list[Raw]]:
        """The value, and the gradient with respect to the student's logits as raw numbers of mpmath.libmp."""
        if self._make_logs is None:
            return mpmath.nan, [libmp.fnan] * len(self._classes.index)
        if self._identical:
            return mpmath.mpf(0), [libmp.fzero] * len(self._classes.index)
        value = self.value(alpha, beta, digits=digits)
        gradient = self._refine(alpha, beta, digits, lambda logs: _gradient(logs, alpha, beta, digits, self._temperature))
        return value, [gradient[position] for position in self._classes.index]

    def _refine(self, alpha: Raw, beta: Raw, digits: int, evaluate: Callable[[Logs], tuple[Any, int]]) -> Any:
        """Evaluate with more and more bits until `evaluate` says that none are missing."""
        bits = libmp.dps_to_prec(digits) + 96 + 2 * _singularity_bits(alpha, beta)
        while bits <= MAXIMUM_BITS:
            bits = _level(bits)
            if bits not in self._known:
                self._known[bits] = self._make_logs(self._classes, bits)
            result, missing = evaluate(self._known[bits])
            if missing <= 0:
                return result
            bits += missing + 32
        raise ArithmeticError(
            f"{digits} digits of the divergence need more than {MAXIMUM_BITS} bits: its value is below exp(-200000)"
        )


def _value(logs: Logs, alpha: Raw, beta: Raw, digits: int) -> tuple[Raw, int]:
    """The value and how many bits its `digits` digits lack."""
    bits = logs.bits
    gamma = libmp.mpf_add(alpha, beta)
    total, magnitude = libmp.fzero, libmp.fzero
    sums = [(coefficient, logs.both, terms) for coefficient, terms in _definition(logs, alpha, beta)]
    if logs.student_only:
        if not (_positive(alpha) and _positive(gamma)):
            return libmp.finf, 0
        sums.append((_inverse(bits, alpha, gamma), logs.student_only, logs.student_only_q.power(gamma)))
    if logs.teacher_only:
        if not (_positive(beta) and _positive(gamma)):
            return libmp.finf, 0
        sums.append((_inverse(bits, beta, gamma), logs.teacher_only, logs.teacher_only_p.power(gamma)))
    for coefficient, positions, terms in sums:
        added = libmp.mpf_mul(coefficient, logs.sum(positions, terms), bits, "n")
        size = libmp.mpf_mul(libmp.mpf_abs(coefficient), logs.size(positions, terms), 64, "u")
        total, magnitude = libmp.mpf_add(total, added, bits, "n"), libmp.mpf_add(magnitude, size, 64, "u")
    return total, _missing_bits(logs, alpha, beta, digits, result=total, magnitude=magnitude)


def _definition(logs: Logs, alpha: Raw, beta: Raw) -> list[tuple[Raw, list[Raw]]]:
    """The five cases as (coefficient, terms): the value is Σ coefficient · Σ_k terms_k."""
    bits = logs.bits
    p, q = logs.log_p.power, logs.log_q.power
    gamma = libmp.mpf_add(alpha, beta)
    if alpha == beta == libmp.fzero:
        return [(libmp.fhalf, [libmp.mpf_mul(x, x, bits, "n") for x in _log_ratio(logs)])]
    if beta == libmp.fzero:
        square = _inverse(bits, alpha, alpha)
        return [
            (_inverse(bits, alpha), _products(p(alpha), _log_ratio(logs), bits)),
            (libmp.mpf_neg(square), p(alpha)),
            (square, q(alpha)),
        ]
    if alpha == libmp.fzero:
        square = _inverse(bits, beta, beta)
        return [
            (libmp.mpf_neg(_inverse(bits, beta)), _products(q(beta), _log_ratio(logs), bits)),
            (libmp.mpf_neg(square), q(beta)),
            (square, p(beta)),
        ]
    if gamma == libmp.fzero:
        square = _inverse(bits, alpha, alpha)
        return [
            (libmp.mpf_neg(_inverse(bits, alpha)), _log_ratio(logs)),
            (square, _products(p(alpha), q(beta), bits)),
            (libmp.mpf_neg(square), [libmp.fone] * len(logs.both)),
        ]
    return [
        (libmp.mpf_neg(_inverse(bits, alpha, beta)), _products(p(alpha), q(beta), bits)),
        (_inverse(bits, beta, gamma), p(gamma)),
        (_inverse(bits, alpha, gamma), q(gamma)),
    ]


def _gradient(logs: Logs, alpha: Raw, beta: Raw, digits: int, temperature: Raw) -> tuple[list[Raw], int]:
    """(q_k Σ_j h_j − h_k)/T of each distinct class, h = −∂D/∂(log q), and how many bits its `digits` digits lack."""
    bits = logs.bits
    shared, size = _shared_derivatives(logs, alpha, beta)
    alone = _student_only_derivatives(logs, alpha, beta)
    total = libmp.mpf_add(logs.sum(logs.both, shared), logs.sum(logs.student_only, alone), bits, "n")
    forbidden = _teacher_only_derivative(logs, alpha, beta)
    total = libmp.mpf_add(total, forbidden, bits, "n")
    gradient = [libmp.fzero] * len(logs.counts)
    if sum(logs.counts[position] for position in logs.both + logs.student_only) == 1 and forbidden == libmp.fzero:
        return gradient, 0  # q = 1 on the only class left: nothing can move
    mul, sub, div = libmp.mpf_mul, libmp.mpf_sub, libmp.mpf_div
    scale = div(libmp.fone, temperature, bits, "n")
    chances = [(logs.both, logs.log_q, shared), (logs.student_only, logs.student_only_q, alone)]
    for positions, powers, derivatives in chances:
        for position, chance, h in zip(positions, powers.power(libmp.fone), derivatives, strict=True):
            gradient[position] = mul(sub(mul(chance, total, bits, "n"), h, bits, "n"), scale, bits, "n")
    largest = max((entry[2] + entry[3] for entry in gradient if entry[1]), default=None)
    size = libmp.mpf_add(size, logs.size(logs.student_only, alone), 64, "u")
    size = libmp.mpf_add(size, forbidden, 64, "u")
    size = libmp.mpf_mul(size, scale, 64, "u")
    if size == libmp.fzero:
        return gradient, 0
    result = libmp.fzero if largest is None else libmp.mpf_shift(libmp.fone, largest - 1)
    return gradient, _missing_bits(logs, alpha, beta, digits, result=result, magnitude=size)


def _shared_derivatives(logs: Logs, alpha: Raw, beta: Raw) -> tuple[list[Raw], Raw]:
    """h of each class with p, q > 0, differentiated case by case, and the magnitude of what cancels in them."""
    bits = logs.bits
    p, q = logs.log_p.power, logs.log_q.power
    if alpha == libmp.fzero:
        h = _products(q(beta), _log_ratio(logs), bits)
        return h, logs.size(logs.both, h)
    first = p(alpha) if beta == libmp.fzero else _products(p(alpha), q(beta), bits)
    second = q(libmp.mpf_add(alpha, beta))
    inverse = _inverse(bits, alpha)
    h = [libmp.mpf_mul(libmp.mpf_sub(x, y, bits, "n"), inverse, bits, "n") for x, y in zip(first, second, strict=True)]
    size = libmp.mpf_add(logs.size(logs.both, first), logs.size(logs.both, second), 64, "u")
    return h, libmp.mpf_mul(size, libmp.mpf_abs(inverse), 64, "u")


def _student_only_derivatives(logs: Logs, alpha: Raw, beta: Raw) -> list[Raw]:
    """h where p = 0 < q: −q^γ/α, or 0 (left out) where it is infinite."""
    if not _positive(alpha):
        return [libmp.fzero] * len(logs.student_only)
    scale = libmp.mpf_neg(_inverse(logs.bits, alpha))
    powers = logs.student_only_q.power(libmp.mpf_add(alpha, beta))
    return [libmp.mpf_mul(x, scale, logs.bits, "n") for x in powers]


def _teacher_only_derivative(logs: Logs, alpha: Raw, beta: Raw) -> Raw:
    """The sum of the limits of h over the classes with q = 0 < p; infinite limits are left out."""
    bits = logs.bits
    if not logs.teacher_only:
        return libmp.fzero
    if beta == libmp.fzero and _positive(alpha):
        total = logs.sum(logs.teacher_only, logs.teacher_only_p.power(alpha))
        return libmp.mpf_mul(total, _inverse(bits, alpha), bits, "n")
    if _positive(beta) and libmp.mpf_add(alpha, beta) == libmp.fzero:
        return libmp.mpf_mul_int(_inverse(bits, beta), sum(logs.counts[k] for k in logs.teacher_only), bits, "n")
    return libmp.fzero


def _missing_bits(logs: Logs, alpha: Raw, beta: Raw, digits: int, *, result: Raw, magnitude: Raw) -> int:
    """Bits that `result` lacks, when terms of size `magnitude` were added up to it with `logs.bits` bits."""
    exponents = max(1, *(x[2] + x[3] for x in (alpha, beta) if x != libmp.fzero), 1)
    noise = magnitude[2] + magnitude[3] - logs.bits + logs.reach() + exponents + 8
    if result == libmp.fzero:
        return logs.bits
    wanted = result[2] + result[3] - libmp.dps_to_prec(digits)
    return min(noise - wanted, logs.bits)


def _level(bits: int) -> int:
    """`bits` rounded up to one of a few levels (2^n, 3 · 2^n), so that different (α, β) share their powers."""
    level = 128
    while level < bits:
        level = level * 3 // 2 if level & (level - 1) == 0 else level * 4 // 3
    return level


def _singularity_bits(alpha: Raw, beta: Raw) -> int:
    near = [x[2] + x[3] for x in (alpha, beta, libmp.mpf_add(alpha, beta)) if x != libmp.fzero]
    return max([0, *(-exponent for exponent in near)])


def _log_ratio(logs: Logs) -> list[Raw]:
    return [libmp.mpf_sub(s, t, logs.bits, "n") for s, t in zip(logs.log_p.logs(), logs.log_q.logs(), strict=True)]


def _products(left: Iterable[Raw], right: Iterable[Raw], bits: int) -> list[Raw]:
    return [libmp.mpf_mul(x, y, bits, "n") for x, y in zip(left, right, strict=True)]


def _inverse(bits: int, *factors: Raw) -> Raw:
    product = libmp.fone
    for factor in factors:
        product = libmp.mpf_mul(product, factor)
    return libmp.mpf_div(libmp.fone, product, bits, "n")


def _positive(x: Raw) -> bool:
    return libmp.mpf_gt(x, libmp.fzero)


def differ_by_a_constant(student: list[Raw], teacher: list[Raw]) -> bool:
    """Whether both sides are the same distribution: the same classes forbidden, the others a constant apart."""
    differences = set()
    for z, y in zip(student, teacher, strict=True):
        if (z == libmp.fninf) != (y == libmp.fninf):
            return False
        if z != libmp.fninf:
            differences.add(libmp.mpf_sub(z, y))
    return len(differences) == 1


def _probabilities(name: str, values: Sequence[Any]) -> list[Raw]:
    raw = [to_raw(name, x) for x in values]
    for number, x in zip(values, raw, strict=True):
        if x in (libmp.fnan, libmp.finf, libmp.fninf) or x[0]:
            raise ValueError(f"{name} holds {number!r}; probabilities must be finite and not negative")
    if not raw:
        raise ValueError(f"{name} is empty; it must hold at least one probability")
    return raw


def _pair(alpha: Any, beta: Any) -> tuple[Raw, Raw]:
    check_real("alpha", alpha)
    check_real("beta", beta)
    return to_raw("alpha", alpha), to_raw("beta", beta)


def _check_digits(digits: int) -> int:
    if not isinstance(digits, int) or digits < 1:
        raise ValueError(f"digits is {digits!r}; it must be an integer, at least 1")
    return digits
