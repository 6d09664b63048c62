"""The options of a sweep on the command line, and what may not be said together."""

import argparse
import importlib.util
from typing import TYPE_CHECKING

from results.command_line import whole_number
from suites.selection import SAMPLERS, Range, Sweep

if TYPE_CHECKING:
    from suites.selection import Selection

# options that take a list or a range, by the parameter's name
PARAMETERS = ("alpha", "beta", "temperature", "distill_weight", "hard_weight")
# options that only a sweep has
SWEEP_ONLY = ("sampler", "trials", "sampler_seed", "early_stop", "workers", "ray", "gpus_per_cell")
# of two settings the better one goes on
FACTOR = 2
# where `--ray` names no address: a cluster that runs on this machine, else one of this machine alone
ANY_CLUSTER = "auto"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser."""
    add = parser.add_argument_group(
        "sweep", "Searches the best setting of a method; its cells are those of distill, and records are shared with it."
    ).add_argument
    add(
        "--sampler",
        help=f"{', '.join(SAMPLERS)}: every combination of the lists, or --trials settings drawn from lists "
        "and ranges such as --alpha 0:1 (default grid)",
    )
    add("--trials", type=whole_number, metavar="N", help="number of settings of a random search")
    add("--sampler-seed", type=whole_number, metavar="N", help="the same seed proposes the same settings (default 0)")
    add(
        "--early-stop",
        type=whole_number,
        nargs="?",
        const=FACTOR,
        metavar="FACTOR",
        help="successive halving on the first seed: after 1/FACTOR² and 1/FACTOR of its epochs a setting goes on only if "
        f"it is among the best 1/FACTOR (default {FACTOR}); the other seeds of stopped settings are not run",
    )
    add(
        "--workers",
        type=whole_number,
        metavar="N",
        help="processes on this machine (default: as many as its cores have room for, at most 4; one on an accelerator, and at "
        "scales small and paper unless --threads says how many each takes)",
    )
    add(
        "--ray",
        nargs="?",
        const=ANY_CLUSTER,
        metavar="ADDRESS",
        help="run the cells as tasks of a Ray cluster, such as 10.0.0.1:6379 (default: one on this machine)",
    )
    add("--gpus-per-cell", type=float, metavar="SHARE", help="GPU share of a task of Ray, such as 0.25 (default 0)")


def take(options: argparse.Namespace) -> Sweep | None:
    """The sweep that the options ask for, None without one; ranges are taken out of the other options.

    Raises:
        ValueError: an option that only a sweep has, or options that do not go together.
    """
    ranges = _take_ranges(options)
    if "sweep" not in options.suites:
        if ranges:
            raise ValueError(
                f"{_flag(ranges[0][0])} {ranges[0][1]}: ranges are for random search; write "
                f"`sweep --sampler random --trials 40 {_flag(ranges[0][0])} {ranges[0][1]}`, or a list of values"
            )
        for name in SWEEP_ONLY:
            if getattr(options, name) is not None:
                raise ValueError(f"{_flag(name)} {getattr(options, name)!r} is an option of `sweep`; name it first")
        return None
    sampler = options.sampler or SAMPLERS[0]
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler {sampler!r} is not known; choose one of {', '.join(SAMPLERS)}")
    if sampler == "grid":
        _check_grid(options, ranges)
    elif options.trials is None:
        raise ValueError("sampler 'random' needs the number of settings: add --trials 40")
    elif options.preset:
        raise ValueError(f"preset {options.preset[0]!r} is a point of its own; leave it out, or use --sampler grid")
    for name, least in (("trials", 1), ("sampler_seed", 0), ("early_stop", 2), ("workers", 1)):
        if getattr(options, name) is not None and getattr(options, name) < least:
            raise ValueError(f"{name.replace('_', '-')} {getattr(options, name)!r} is not allowed; it must be at least {least}")
    if options.repeats:
        raise ValueError(f"repeats {options.repeats!r} show rounding, and choose no setting: repeat the best one by `distill`")
    _check_places(options)
    return Sweep(sampler, options.trials, options.sampler_seed or 0, tuple(ranges), options.early_stop)


def _take_ranges(options: argparse.Namespace) -> list[tuple[str, Range]]:
    ranges = []
    for name in PARAMETERS:
        if isinstance(getattr(options, name), Range):
            ranges.append((name, getattr(options, name)))
            setattr(options, name, ())
    ranges += [(name, values) for name, values in options.settings if isinstance(values, Range)]
    options.settings = [(name, values) for name, values in options.settings if not isinstance(values, Range)]
    return ranges


def _check_grid(options: argparse.Namespace, ranges: list[tuple[str, Range]]) -> None:
    for name in ("trials", "sampler_seed"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"{name.replace('_', '-')} {getattr(options, name)!r} is for random search: add --sampler random, or "
                "leave it out"
            )
    if ranges:
        name, bounds = ranges[0]
        raise ValueError(
            f"{_flag(name)} {bounds}: a grid needs values, such as {_flag(name)} {bounds.low:g},{bounds.high:g}; ranges "
            "are for --sampler random --trials 40"
        )


def _check_places(options: argparse.Namespace) -> None:
    if options.gpus_per_cell is not None and options.ray is None:
        raise ValueError(f"gpus-per-cell {options.gpus_per_cell!r} is the share of a task of Ray: add --ray")
    if options.gpus_per_cell is not None and not options.gpus_per_cell >= 0:
        raise ValueError(f"gpus-per-cell {options.gpus_per_cell!r} is not allowed; it must be at least 0, such as 0.25")
    if options.gpus_per_cell is not None and options.gpus_per_cell > 1 and options.gpus_per_cell % 1:
        raise ValueError(f"gpus-per-cell {options.gpus_per_cell!r} is not allowed; above 1 it is a number of whole GPUs")
    if options.workers is not None and options.ray is not None:
        raise ValueError(f"workers {options.workers!r} are processes of this machine; leave them out, or --ray")
    for package, group, needed in (
        ("optuna", "harness", options.sampler == "random" or options.early_stop),
        ("ray", "ray", options.ray),
    ):
        if needed and importlib.util.find_spec(package) is None:
            raise ValueError(
                f"the package {package!r} is not installed: python -m pip install --group {group} in the clone, into the "
                "environment of the backend (of nox: .nox/<backend>/bin/python)"
            )


def check_axes(selection: "Selection") -> None:
    """A sweep needs something to search.

    Raises:
        ValueError: there is one setting only.
    """
    lists = [selection.alphas, selection.betas, selection.presets, *selection.parameters.values()]
    if not selection.sweep.ranges and max(map(len, lists)) < 2 and len(selection.methods) < 2:
        raise ValueError(
            "sweep: there is nothing to search; give values, such as --alpha 0.2,0.5,0.8 --beta 0.2,0.5,0.8, or ranges: "
            "--sampler random --trials 40 --alpha 0:1 --beta 0:1"
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}" if name in (*PARAMETERS, *SWEEP_ONLY) else f"--set {name}="
