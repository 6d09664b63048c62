"""Golden cases: divergences and gradients with known answers, computed in multiprecision and committed.

A case holds the recipe of its inputs (see `reference.grid.draw_logits`) with a digest of them, each row's value and a
sample of its gradient: the largest entry, those at both sides' most probable classes, and random others. A whole
gradient of 50,257 entries is not stored.

    python -m reference.golden                     compute all cases again (minutes), on two processes
    python -m reference.golden --classes 10 100    only these; the other cases in the file are kept
"""

import argparse
import hashlib
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from mpmath import libmp
from numpy.typing import NDArray

from reference import catalogue
from reference.grid import CLASSES, DTYPES, SPREADS, draw_logits

FOLDER = Path(__file__).parent / "cases"
ROWS = {10: 4, 100: 2, 50257: 1}
# How many inputs are drawn in search of some that keep a margin from where a loss switches, and how many before some
# are taken that do so for a part of the grid only.
DRAWS = 3000
PATIENCE = {10: 50, 100: 50, 50257: 2}
SAMPLED_ENTRIES = 8
# Significant digits of the multiprecision results; what is stored is their float64.
DIGITS = 20

_ROW_COLUMNS = ("value", "gradient_max", "gradient_index", "gradient_entries")


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One case of the grid.

    Attributes:
        divergence: name in `reference.catalogue`.
        parameters: its parameters by name.
        temperature: T.
        classes: C.
        spread: of the logits, one of `reference.grid.SPREADS`.
        dtype: whose rounding the inputs have, one of `reference.grid.DTYPES`.
        rows: number of rows.
        seed: of the inputs.
        value: float64 [rows], in nats; inf beyond float64.
        gradient_max: float64 [rows], the largest |∂D/∂z_k| of each row.
        gradient_index: int [rows, k], the classes whose gradient entries are stored; the first has the largest.
        gradient_entries: float64 [rows, k].
        digest: of the inputs.
    """

    divergence: str
    parameters: dict[str, float]
    temperature: float
    classes: int
    spread: str
    dtype: str
    rows: int
    seed: int
    value: NDArray
    gradient_max: NDArray
    gradient_index: NDArray
    gradient_entries: NDArray
    digest: str

    def inputs(self) -> tuple[NDArray, NDArray]:
        """Student and teacher logits [rows, classes]; RuntimeError if they are not those of the stored answers."""
        student, teacher = draw_logits(self.classes, self.spread, self.dtype, self.rows, self.seed)
        digest = inputs_digest(student, teacher)
        if digest != self.digest:
            raise RuntimeError(
                f"the inputs drawn for {self.name} have digest {digest}, the stored answers belong to {self.digest}; "
                "compute the golden cases again with: python -m reference.golden"
            )
        return student, teacher

    @property
    def name(self) -> str:
        """A readable identifier, such as `ab_divergence(alpha=1.0, beta=0.0) T=4.0 C=100 spread=near float32`."""
        parameters = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"{self.divergence}({parameters}) T={self.temperature} C={self.classes} spread={self.spread} {self.dtype}"


def load(
    divergence: str = "ab_divergence",
    *,
    dtype: str | None = None,
    classes: int | None = None,
    spread: str | None = None,
    temperature: float | None = None,
) -> list[GoldenCase]:
    """The committed cases of a divergence, those that match every argument which is not None.

    Raises:
        ValueError: for a divergence that is not in the catalogue.
        FileNotFoundError: when its cases have not been computed yet, with the command that does.
    """
    wanted = {"dtype": dtype, "classes": classes, "spread": spread, "temperature": temperature}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    return [case for case in _load(divergence) if all(getattr(case, key) == wanted[key] for key in wanted)]


@cache
def _load(divergence: str) -> tuple[GoldenCase, ...]:
    return read(golden_path(divergence))


def golden_path(divergence: str) -> Path:
    """The file that holds the cases of a divergence; ValueError for an unknown one."""
    return FOLDER / f"{catalogue.get(divergence).name}.npz"


def inputs_digest(student: NDArray, teacher: NDArray) -> str:
    """16 hexadecimal digits that identify the inputs, whatever type they are held in."""
    digest = hashlib.sha256()
    for logits in (student, teacher):
        digest.update(np.ascontiguousarray(logits, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Unit:
    """The cases that share their inputs and temperature: the work of one process at a time."""

    divergence: str
    classes: int
    spread: str
    dtype: str
    temperature: float

    @property
    def seed(self) -> int:
        """Seed of the unit's inputs, another one for each class count, spread and type; or the first to try."""
        return 100 * CLASSES.index(self.classes) + 10 * SPREADS.index(self.spread) + DTYPES.index(self.dtype)


def units(divergence: str, classes: Iterable[int] = CLASSES) -> list[Unit]:
    """All units of a divergence, in the order of the file."""
    row = catalogue.get(divergence)
    return [
        Unit(divergence, *rest)
        for rest in product(classes, SPREADS, DTYPES, row.temperatures)
        if rest[0] != max(CLASSES) or (rest[2] in row.long_row_dtypes and rest[3] in row.long_row_temperatures)
    ]


def draw(unit: Unit) -> tuple[int, list[Mapping[str, float]]]:
    """The seed of a unit's inputs, and the entries of its grid that it has cases for.

    Of a loss that switches, all rows must keep a margin from the switch; other inputs are drawn until they do for every
    entry. Where none are found (two α-divergences of distributions far apart have the same value), the seed that does
    so for the most entries is taken and the others are left out.
    """
    divergence = catalogue.get(unit.divergence)
    if divergence.margin is None:
        return unit.seed, list(divergence.grid)
    best: tuple[int, list[Mapping[str, float]]] = (unit.seed, [])
    for number in range(DRAWS):
        seed = unit.seed + 1000 * number
        logits = draw_logits(unit.classes, unit.spread, unit.dtype, ROWS[unit.classes], seed)
        with np.errstate(all="ignore"):
            kept = [
                parameters
                for parameters in divergence.grid
                if divergence.margin(*logits, **parameters, temperature=unit.temperature).all()
            ]
        if len(kept) > len(best[1]):
            best = seed, kept
        if len(kept) == len(divergence.grid) or (best[1] and number >= PATIENCE[unit.classes]):
            break
    return best


def compute(unit: Unit) -> list[GoldenCase]:
    """The cases of one unit, one for each entry of the divergence's grid, in multiprecision."""
    divergence = catalogue.get(unit.divergence)
    rows = ROWS[unit.classes]
    seed, grid = draw(unit)
    student, teacher = draw_logits(unit.classes, unit.spread, unit.dtype, rows, seed)
    others = np.random.RandomState(seed).permutation(unit.classes)
    answers: list[list[tuple]] = []
    for z_student, z_teacher in zip(student, teacher, strict=True):
        tops = (int(z_student.argmax()), int(z_teacher.argmax()))
        row = divergence.exact(z_student.tolist(), z_teacher.tolist(), unit.temperature)
        of_row: list[tuple] = []
        for parameters in grid:
            raw = [libmp.from_float(float(parameters[name])) for name in divergence.parameters]
            value, gradient = row.value_and_gradient(*raw, digits=DIGITS)
            of_row.append((libmp.to_float(value._mpf_), *_sample(gradient, tops, others)))
        answers.append(of_row)
    digest = inputs_digest(student, teacher)
    return [
        GoldenCase(
            divergence=unit.divergence,
            parameters=dict(parameters),
            temperature=unit.temperature,
            classes=unit.classes,
            spread=unit.spread,
            dtype=unit.dtype,
            rows=rows,
            seed=seed,
            digest=digest,
            **{column: np.array([row[number][i] for row in answers]) for i, column in enumerate(_ROW_COLUMNS)},
        )
        for number, parameters in enumerate(grid)
    ]


def _sample(gradient: Sequence[tuple], tops: tuple[int, int], others: NDArray) -> tuple[float, list[int], list[float]]:
    """The largest |entry|, the sampled classes and their entries."""
    entries = np.array([libmp.to_float(entry) for entry in gradient])
    largest = int(np.abs(entries).argmax())
    index = list(dict.fromkeys([largest, *tops, *(int(k) for k in others[: 2 * SAMPLED_ENTRIES])]))[:SAMPLED_ENTRIES]
    return abs(entries[largest]), index, list(entries[index])


def write(path: Path, cases: Sequence[GoldenCase]) -> None:
    """Store the cases; the same cases give the same bytes."""
    names = list(cases[0].parameters)
    table = {
        "parameter_names": np.array(names),
        "parameters": np.array([[case.parameters[name] for name in names] for case in cases]),
        "digest": np.array([case.digest for case in cases]),
    }
    for column in ("temperature", "classes", "spread", "dtype", "rows", "seed"):
        table[column] = np.array([getattr(case, column) for case in cases])
    for column in _ROW_COLUMNS:
        stored = [getattr(case, column) for case in cases]
        table[column] = np.concatenate(stored)
    table["gradient_index"] = table["gradient_index"].astype(np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **table)


def read(path: Path) -> tuple[GoldenCase, ...]:
    """The cases of a file that `write` has written."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; compute the golden cases with: python -m reference.golden")
    with np.load(path, allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    names = table["parameter_names"].tolist()
    starts = np.concatenate([[0], np.cumsum(table["rows"])])
    return tuple(
        GoldenCase(
            divergence=path.stem,
            parameters=dict(zip(names, table["parameters"][i].tolist(), strict=True)),
            temperature=float(table["temperature"][i]),
            classes=int(table["classes"][i]),
            spread=str(table["spread"][i]),
            dtype=str(table["dtype"][i]),
            rows=int(table["rows"][i]),
            seed=int(table["seed"][i]),
            digest=str(table["digest"][i]),
            **{column: table[column][starts[i] : starts[i + 1]] for column in _ROW_COLUMNS},
        )
        for i in range(len(table["rows"]))
    )


def _computed(work: Sequence[Unit], processes: int) -> Iterator[list[GoldenCase]]:
    """The cases of each unit in turn, with a line of progress a unit."""
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, cases in enumerate(pool.imap(compute, work), start=1):
            spent = time.monotonic() - start
            left = spent / done * (len(work) - done)
            last = work[done - 1]
            print(
                f"{done}/{len(work)}  C={last.classes} spread={last.spread} {last.dtype} T={last.temperature}"
                f"  {spent:.0f} s, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            yield cases


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m reference.golden", description="Compute the golden cases again.")
    parser.add_argument("--divergence", choices=sorted(catalogue.DIVERGENCES), nargs="+", default=None)
    parser.add_argument("--classes", type=int, choices=CLASSES, nargs="+", default=list(CLASSES))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    for name in options.divergence or sorted(catalogue.DIVERGENCES):
        path = golden_path(name)
        kept = read(path) if path.exists() and set(options.classes) != set(CLASSES) else ()
        cases = [case for case in kept if case.classes not in options.classes]
        work = units(name, sorted(options.classes, reverse=True))  # the long ones first: both processes end together
        for computed in _computed(work, options.processes):
            cases.extend(computed)
        order = {unit: number for number, unit in enumerate(units(name))}
        cases.sort(key=lambda case: order[Unit(name, case.classes, case.spread, case.dtype, case.temperature)])
        write(path, cases)
        print(f"{path}: {len(cases)} cases, {path.stat().st_size / 1e6:.2f} MB")
