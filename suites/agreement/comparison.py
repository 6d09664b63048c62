"""Compare a backend with the reference on all samples of one divergence and one type of logits."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from suites.agreement import bounds
from suites.agreement.calls import Evaluate, evaluated
from suites.agreement.samples import Sample

# how many of the worst rows a record lists
WORST = 8


class Comparison:
    """Errors of a backend, collected sample by sample.

    Args:
        dtype: type of the logits.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.cells: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        # errors [rows, 2] by region and by whether the rows are random
        self.errors: dict[tuple[str, bool], list[np.ndarray]] = defaultdict(list)

    def add(self, sample: Sample, values: np.ndarray, gradient: np.ndarray) -> None:
        """Compare the values `[rows]` and the gradient `[rows, classes]` that a backend gave for one sample."""
        got = np.take_along_axis(gradient, sample.index, axis=-1)
        errors = np.stack(
            [
                bounds.value_errors(values, sample.value, self.dtype),
                bounds.gradient_errors(got, sample.entries, sample.largest, self.dtype),
            ],
            axis=-1,
        )
        # a value that is not a number, or an entry anywhere in the gradient, is wrong with or without a bound
        poisoned = np.isnan(values) | np.isnan(gradient).any(axis=-1)
        errors[poisoned] = np.nan
        inside = bounds.regions(sample.parameters, sample.spread, sample.random)
        for region in inside:
            self.errors[region, sample.random].append(errors)
        self.cells.append(
            sample.description
            | {
                "regions": list(inside),
                "value_error": _worst(errors[:, 0]),
                "gradient_error": _worst(errors[:, 1]),
                "not_a_number": int(poisoned.sum()),
            }
        )
        self._remember(sample, values, gradient, errors)

    def _remember(self, sample: Sample, values: np.ndarray, gradient: np.ndarray, errors: np.ndarray) -> None:
        """Keep the worst row of a sample by its share of what is always allowed, with input, got and want."""
        limits = [bounds.REGIONS[region][self.dtype].always for region in self.cells[-1]["regions"]]
        broken = np.isnan(errors).any(axis=-1)
        if not limits and not broken.any():
            return
        allowed = np.min(limits, axis=0) if limits else np.array([np.inf, np.inf])
        excess = np.where(np.isnan(errors), np.inf, errors / allowed if limits else 0.0)
        row, kind = (int(position) for position in np.unravel_index(np.argmax(excess), excess.shape))
        if broken[row] and not np.isnan(values[row]):
            kind = 1  # the value is a number, so it is the gradient that is not
        got, want, position = values[row], sample.value[row], None
        if kind == 1:
            got, want, position = self._worst_entry(sample, gradient[row], row)
        self.rows.append(
            sample.description
            | {
                "row": row,
                "quantity": ("value", "gradient")[kind],
                "got": float(got),
                "want": float(want),
                "relative_difference": float(errors[row, kind]),
                "allowed": float(allowed[kind]),
                "excess": float(excess[row, kind]),
                **_input(sample, row, position),
            }
        )

    @staticmethod
    def _worst_entry(sample: Sample, gradient: np.ndarray, row: int) -> tuple[float, float, int]:
        """Got, want and class of the entry of a row's gradient that is farthest off; want is NaN where unknown."""
        known = dict(zip(sample.index[row].tolist(), sample.entries[row].tolist(), strict=True))
        if np.isnan(gradient).any():
            positions = np.flatnonzero(np.isnan(gradient))
            position = int(next((p for p in positions if int(p) in known), positions[0]))
        else:
            with np.errstate(invalid="ignore"):
                position = max(known, key=lambda p: np.nan_to_num(abs(gradient[p] - known[p])))
        return float(gradient[position]), known.get(position, float("nan")), position

    def violations(self) -> list[str]:
        """What is over its bound: one line each."""
        violations = []
        for (region, random), parts in self.errors.items():
            errors = np.concatenate(parts)
            bound = bounds.REGIONS[region][self.dtype]
            for column, quantity in enumerate(("value", "gradient")):
                usual, always = bound.usual[column], bound.always[column]
                over_usual, over_always = (int(np.sum(~(errors[:, column] <= limit))) for limit in (usual, always))
                where = f"{quantity} of {'random' if random else 'golden'} rows ({region})"
                if over_always:
                    violations.append(
                        f"{where}: {over_always} of {len(errors)} rows over {always:g}, "
                        f"the worst {_worst(errors[:, column]):.2g}"
                    )
                elif over_usual > (1 - bounds.USUAL_SHARE) * len(errors):
                    violations.append(
                        f"{where}: {over_usual} of {len(errors)} rows over {usual:g}, allowed are {1 - bounds.USUAL_SHARE:.1%}"
                    )
        broken = sum(cell["not_a_number"] for cell in self.cells if not cell["regions"])
        if broken:
            violations.append(f"{broken} rows outside the bounded regions are not a number")
        return violations

    def worst_rows(self) -> list[dict[str, Any]]:
        """The rows nearest to their bounds or farthest beyond, the worst first."""
        return sorted(self.rows, key=lambda row: -row["excess"])[:WORST]

    def metrics(self) -> dict[str, float]:
        """Largest errors of golden and random rows in the bounded regions."""
        errors = {}
        for column, quantity in enumerate(("value", "gradient")):
            for random, suffix in ((False, ""), (True, "_random")):
                parts = [part for (_, is_random), group in self.errors.items() if is_random == random for part in group]
                if parts:
                    errors[f"agreement/{quantity}_error{suffix}"] = _worst(np.concatenate(parts)[:, column])
        return errors


def compare(
    evaluate: Evaluate, dtype: str, samples: Iterable[Sample], report: Callable[[int], None] = lambda done: None
) -> Comparison:
    """Compare on all samples, telling `report` how many samples are done."""
    comparison = Comparison(dtype)
    for number, (sample, values, gradient) in enumerate(evaluated(evaluate, samples), start=1):
        comparison.add(sample, values, gradient)
        report(number)
    return comparison


def _worst(errors: np.ndarray) -> float:
    """The largest error; NaN where any is."""
    return float(np.max(errors)) if len(errors) else 0.0


def _input(sample: Sample, row: int, position: int | None) -> dict[str, Any]:
    """The logits of a row where there are few, or those of the class that is wrong."""
    student, teacher = sample.student[row], sample.teacher[row]
    described = {} if position is None else {"class": position}
    if len(student) <= 10:
        return described | {"student_logits": [float(x) for x in student], "teacher_logits": [float(x) for x in teacher]}
    if position is None:
        return described
    return described | {"student_logit": float(student[position]), "teacher_logit": float(teacher[position])}
