"""Compare a backend with the reference on all samples of one divergence and one type of logits."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from suites.agreement import bounds
from suites.agreement.samples import Sample

#: how many of the worst rows a record lists
WORST = 8


class Comparison:
    """Errors of a backend, collected sample by sample.

    Args:
        evaluate: (student, teacher, parameters, temperature) → (values `[rows]`, gradient `[rows, classes]`).
        dtype: type of the logits.
    """

    def __init__(self, evaluate: Callable[..., tuple[np.ndarray, np.ndarray]], dtype: str) -> None:
        self.evaluate = evaluate
        self.dtype = dtype
        self.cells: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        #: errors [rows, 2] by region and by whether the rows are random
        self.errors: dict[tuple[str, bool], list[np.ndarray]] = defaultdict(list)

    def add(self, sample: Sample) -> None:
        """Compare one sample."""
        values, gradient = self.evaluate(sample.student, sample.teacher, sample.parameters, sample.temperature)
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
            | {"regions": list(inside), "value_error": _worst(errors[:, 0]), "gradient_error": _worst(errors[:, 1]),
               "not_a_number": int(poisoned.sum())}
        )  # fmt: skip
        self._remember(sample, values, got, errors, inside)

    def _remember(
        self, sample: Sample, values: np.ndarray, got: np.ndarray, errors: np.ndarray, inside: tuple[str, ...]
    ) -> None:
        """Keep the worst row of a sample by its share of what is always allowed, with input, got and want."""
        limits = [bounds.REGIONS[region][self.dtype].always for region in inside]
        if limits:
            allowed = np.min(limits, axis=0)
        elif np.isnan(errors).any():
            allowed = np.array([np.inf, np.inf])
        else:
            return
        excess = np.where(np.isnan(errors), np.inf, errors / allowed)
        row, kind = np.unravel_index(np.argmax(excess), excess.shape)
        entry = int(np.argmax(np.nan_to_num(np.abs(got[row] - sample.entries[row]), nan=np.inf)))
        found, wanted = (values[row], sample.value[row]) if kind == 0 else (got[row, entry], sample.entries[row, entry])
        self.rows.append(
            sample.description
            | {"row": int(row), "quantity": ("value", "gradient")[kind], "got": float(found), "want": float(wanted),
               "relative_difference": float(errors[row, kind]), "allowed": float(allowed[kind]),
               "excess": float(excess[row, kind]), **_input(sample, row, kind, entry)}
        )  # fmt: skip

    def violations(self) -> list[str]:
        """What is over its bound: one line each."""
        found = []
        for (region, random), parts in self.errors.items():
            errors = np.concatenate(parts)
            bound = bounds.REGIONS[region][self.dtype]
            for column, quantity in enumerate(("value", "gradient")):
                usual, always = bound.usual[column], bound.always[column]
                over_usual, over_always = (int(np.sum(~(errors[:, column] <= limit))) for limit in (usual, always))
                where = f"{quantity} of {'random' if random else 'golden'} rows ({region})"
                if over_always:
                    found.append(f"{where}: {over_always} of {len(errors)} rows over {always:g}, the worst {_worst(errors[:, column]):.2g}")
                elif over_usual > (1 - bounds.USUAL_SHARE) * len(errors):
                    found.append(f"{where}: {over_usual} of {len(errors)} rows over {usual:g}, allowed are "
                                 f"{1 - bounds.USUAL_SHARE:.1%}")  # fmt: skip
        broken = sum(cell["not_a_number"] for cell in self.cells if not cell["regions"])
        if broken:
            found.append(f"{broken} rows outside the bounded regions are not a number")
        return found

    def worst_rows(self) -> list[dict[str, Any]]:
        """The rows nearest to their bounds or farthest beyond, the worst first."""
        return sorted(self.rows, key=lambda row: -row["excess"])[:WORST]

    def metrics(self) -> dict[str, float]:
        """Largest errors of golden and random rows in the bounded regions."""
        found = {}
        for column, quantity in enumerate(("value", "gradient")):
            for random, suffix in ((False, ""), (True, "_random")):
                parts = [part for (_, is_random), group in self.errors.items() if is_random == random for part in group]
                if parts:
                    found[f"agreement/{quantity}_error{suffix}"] = _worst(np.concatenate(parts)[:, column])
        return found


def compare(
    evaluate: Callable[..., tuple[np.ndarray, np.ndarray]], dtype: str, samples: Iterable[Sample],
    report: Callable[[int], None] = lambda rows: None,
) -> Comparison:  # fmt: skip
    """Compare on all samples, telling `report` how many samples are done."""
    comparison = Comparison(evaluate, dtype)
    for number, sample in enumerate(samples, start=1):
        comparison.add(sample)
        report(number)
    return comparison


def _worst(errors: np.ndarray) -> float:
    """The largest error; NaN where any is."""
    return float(np.max(errors)) if len(errors) else 0.0


def _input(sample: Sample, row: int, kind: int, entry: int) -> dict[str, Any]:
    """The logits of a row where there are few, or of the class that is wrong."""
    student, teacher = sample.student[row], sample.teacher[row]
    if len(student) <= 10:
        return {"student_logits": [float(x) for x in student], "teacher_logits": [float(x) for x in teacher]}
    if kind == 0:
        return {}
    place = int(sample.index[row, entry])
    return {"class": place, "student_logit": float(student[place]), "teacher_logit": float(teacher[place])}
