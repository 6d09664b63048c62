"""Which figures the run of a whole command gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from results.figures.accuracy_against_time import accuracy_against_time
from results.figures.concentration import concentration
from results.figures.error_budget import error_budget
from results.figures.errors import errors
from results.figures.heat_maps import alpha_beta
from results.figures.methods import methods
from results.figures.near_lines import near_lines
from results.figures.parameter_curves import parameter_curves
from results.figures.timings import timings
from results.records.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# figures of the run of a whole command, by suite: (file name, function of its records)
OF_INVOCATION: dict[str, tuple[tuple[str, Callable[[list[Record]], Figure | None]], ...]] = {
    "agreement": (("errors", errors), ("error_budget", error_budget), ("near_lines", near_lines)),
    "loss": (("timings", timings),),
    "distill": (
        ("methods", methods),
        ("accuracy_against_time", accuracy_against_time),
        ("alpha_beta", alpha_beta),
        ("parameters", parameter_curves),
        ("concentration", concentration),
    ),
}
