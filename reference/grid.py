"""The grid of cases that exposes what goes wrong with the α-β-divergence, and the recipe of its inputs.

The (α, β) hold the paper's special cases, its singular lines and points close to them; the spreads go from nearly
uniform to one-hot; "near" has a student 0.01 away from its teacher. Inputs come from `numpy.random.RandomState`, whose
stream NumPy keeps unchanged, and hold only numbers that the named type can represent.
"""

import numpy as np
from numpy.typing import NDArray

AB_GRID = (
    (1.0, 0.0),
    (0.0, 1.0),
    (0.5, 0.5),
    (0.2, 0.7),
    (0.9, 0.2),
    (1.0, 1.0),
    (0.8, 1e-6),
    (1e-6, 0.8),
    (0.5, -0.5),
    (1e-4, -1e-4),
    (0.0, 0.0),
    (-0.5, 1.5),
    (2.0, -1.0),
    (1.0, 1e-12),
)
TEMPERATURES = (1.0, 1.5, 4.0)
CLASSES = (10, 100, 50257)
SPREADS = ("1", "10", "100", "1000", "near")
DTYPES = ("float64", "float32", "bfloat16", "float16")

_NEAR_SCALE, _NEAR_DISTANCE = 10.0, 0.01
# Of a long row, this many highest and lowest classes of each side are drawn one by one; the others repeat so many.
_EXTREME_CLASSES, _REPEATED_CLASSES = 256, 1024


def draw_logits(classes: int, spread: str, dtype: str, rows: int, seed: int) -> tuple[NDArray, NDArray]:
    """Student and teacher logits [rows, classes], independent and normal, or a student near its teacher.

    The bulk of a row of more than 4,096 classes repeats 1,024 (student, teacher) pairs; its extremes, which carry the
    probability and the longest exponents, are all different. So a row of 50,257 classes costs multiprecision
    arithmetic about 2,000 of them, and float64 code all.

    Args:
        classes: number of classes.
        spread: standard deviation of the logits, or "near": a teacher of standard deviation 10 and a student whose
            logits are 0.01 · N(0, 1) away; one of SPREADS.
        dtype: the type whose rounding the numbers have; one of DTYPES.
        rows: number of rows.
        seed: of `numpy.random.RandomState`.

    Returns:
        (student_logits, teacher_logits), as float64 for "float64" and float32 for the others.

    Raises:
        ValueError: for an unknown spread or dtype.
    """
    if spread not in SPREADS:
        raise ValueError(f"spread is {spread!r}; it must be one of {', '.join(SPREADS)}")
    random = np.random.RandomState(seed)
    first, second = _standard_normal(random, (2, rows, classes))
    if classes > 4096:
        for row in range(rows):
            source = _repeating_bulk(first[row], second[row])
            first[row], second[row] = first[row, source], second[row, source]
    if spread == "near":
        teacher = _NEAR_SCALE * first
        student = teacher + _NEAR_DISTANCE * second
    else:
        teacher, student = float(spread) * first, float(spread) * second
    return round_to(student, dtype), round_to(teacher, dtype)


def _standard_normal(random: np.random.RandomState, shape: tuple[int, ...]) -> NDArray:
    """Normal numbers that are the same on every platform, to the last bit.

    NumPy takes a logarithm of the platform's, whose last bit may differ: only the leading bits of its numbers are used,
    and the others are drawn as integers.
    """
    leading = np.round(random.standard_normal(shape) * 2.0**24) / 2.0**24
    return leading + (random.random_sample(shape) - 0.5) / 2.0**24


def _repeating_bulk(first: NDArray, second: NDArray) -> NDArray:
    """For each class the one that it takes its logits from: itself at the extremes, else one of a few in turn."""
    source = np.arange(len(first))
    extreme = np.zeros(len(first), dtype=bool)
    for side in (first, second):
        order = np.argsort(side, kind="stable")
        extreme[order[:_EXTREME_CLASSES]] = extreme[order[-_EXTREME_CLASSES:]] = True
    bulk = np.flatnonzero(~extreme)
    source[bulk] = bulk[np.arange(len(bulk)) % _REPEATED_CLASSES]
    return source


def round_to(values: NDArray, dtype: str) -> NDArray:
    """The values rounded to `dtype`: float64 for "float64", else float32 that the type represents exactly.

    Raises:
        ValueError: for a dtype that is not in DTYPES.
    """
    if dtype == "float64":
        return np.asarray(values, dtype=np.float64)
    single = np.asarray(values, dtype=np.float32)
    if dtype == "float32":
        return single
    if dtype == "float16":
        return single.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        # The upper 16 bits of a float32, rounded to nearest, ties to even; NumPy has no such type.
        bits = single.view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return np.where(np.isfinite(single), rounded.view(np.float32), single)
    raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
