"""What a user can type: the command line's arguments, and the selection that they name."""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import backends
from backends.common import methods
from backends.common.training.loop import PRECISIONS
from reference import presets
from results import command_line
from results.records.store import Store
from suites import plugins
from suites.cell import DTYPES, SCALES
from suites.checks import check, check_choice
from suites.distill import defaults, teachers
from suites.distill.recipes import find
from suites.selection import SUITES, SUITES_ON_REQUEST, SWEEP, Range, Selection
from suites.sweep import options as sweep_options

# small networks gain nothing from more threads, and lose a lot where other processes want the cores too
SMOKE_THREADS = 1


_PLUGIN_HELP = (
    "a file of your own that adds data sets, recipes, networks, methods, metrics or tasks (docs/plugin_example.py); may be "
    f"given again; also ${plugins.VARIABLE}"
)


def plugin_files(typed: Sequence[str]) -> tuple[Path, ...]:
    """The files of `--plugin` and of the environment, which are loaded before anything else is looked at."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--plugin", action="append", default=[])
    options, _ = parser.parse_known_args(typed)
    return plugins.chosen(options.plugin)


def build_parser() -> argparse.ArgumentParser:
    """The command line's arguments; the help texts name what is in the tables at this moment."""
    parser = command_line.Parser(
        prog="python -m suites",
        usage="%(prog)s [suite ...] [options]",
        description="Measure a backend: agreement of the loss with the reference, its speed, and the distillation of "
        "students. Lists (with commas) multiply. Finished cells are not run again.",
    )
    add = parser.add_argument
    add(
        "suites",
        nargs="*",
        metavar="suite",
        help=f"{', '.join(SUITES)}: all of them where none is named; {', '.join(SUITES_ON_REQUEST)} where it is; {SWEEP} alone",
    )
    add("--backend", help=f"{', '.join(backends.BACKENDS)} (default: the one that is installed)")
    add(
        "--pair",
        type=_list(str),
        default=(),
        metavar="TEACHER:STUDENT,…",
        help=f"networks: resnet56:resnet20, wrn-40-2:wrn-16-2, …, or {', '.join(find.model_names())} (default: the data set's)",
    )
    add(
        "--dataset",
        type=_list(str),
        default=(),
        metavar="NAME,…",
        help=f"{', '.join(find.RECIPES)} (default: the pair's, else the scale's)",
    )
    add("--method", type=_list(str), default=(), metavar="NAME,…", help=f"{', '.join(methods.METHODS)} (default: the recipe's)")
    add(
        "--alpha",
        type=_numbers,
        default=(),
        metavar="A,…",
        help="default: the recipe's; write --alpha=-0.5,0 where the first is negative; in a random sweep also LOW:HIGH",
    )
    add("--beta", type=_numbers, default=(), metavar="B,…", help="default: the recipe's")
    add("--preset", type=_list(str), default=(), metavar="NAME,…", help=f"alpha and beta by name: {', '.join(presets.PRESETS)}")
    add("--temperature", type=_numbers, default=(), metavar="T,…", help="default: the recipe's; 1 in the loss suite")
    add(
        "--distill-weight",
        type=_numbers,
        default=(),
        metavar="W,…",
        help="weight of the distillation term (default: the recipe's)",
    )
    add(
        "--hard-weight",
        type=_numbers,
        default=(),
        metavar="W,…",
        help="weight of the labels' cross-entropy (default: the recipe's)",
    )
    add(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=V,…",
        dest="settings",
        help="another parameter of a method, such as gamma=0.2 or non_target_weight=2,8",
    )
    add(
        "--seeds",
        type=_seeds,
        default=(0, None),
        metavar="N|FIRST:END",
        help="seeds 0 to N − 1, or FIRST to END − 1 (default: from 0, as many as the recipe says)",
    )
    add(
        "--scale",
        default=SCALES[0],
        help=f"{', '.join(SCALES)}: embedded data, real data and a short schedule, the paper's recipe (default %(default)s)",
    )
    add("--teacher-weights", metavar="FILE", help="safetensors of the teacher, which is then not trained")
    add(
        "--teacher-of",
        metavar="BACKEND",
        help="the teacher that this backend has trained in the same store, so that "
        "students of several backends learn from the same weights",
    )
    add(
        "--dtype",
        type=_list(str),
        default=(),
        metavar="NAME,…",
        help=f"{', '.join(DTYPES)} (default: all in agreement, float32 elsewhere)",
    )
    add(
        "--precision",
        type=_list(str),
        default=(),
        metavar="NAME,…",
        help=f"{', '.join(PRECISIONS)}: what convolutions and dense layers of students (and of the teacher beside them) "
        "compute in (default: float32)",
    )
    add(
        "--repeats",
        type=command_line.whole_number,
        default=0,
        metavar="N",
        help="train each student N times more with the rows of each batch in another order: how far runs of one seed "
        "lie apart (default: %(default)s)",
    )
    add("--device", default="auto", help="auto, cpu, or what the backend calls its accelerator (default %(default)s)")
    add(
        "--threads",
        type=command_line.whole_number,
        help=f"CPU threads (default: {SMOKE_THREADS} at scale smoke and with --ray, else all; all in the loss suite)",
    )
    add("--plugin", action="append", default=[], metavar="FILE.py", help=_PLUGIN_HELP)
    add("--store", help="folder of the records (default: $ABKD_STORE, else results/store of the clone)")
    add("--no-mlflow", action="store_true", help="leave MLflow out; `python -m results sync` sends the records later")
    add("--keep-students", action="store_true", help="keep the students' weights, in the store and in MLflow")
    add(
        "--accept-other-code",
        action="store_true",
        help="take finished records of the same cell, recipe and data as they are, though the code that computes them has "
        "changed since; the plan says in which files",
    )
    add("--redo", action="store_true", help="run the chosen cells again, also those that are finished")
    add("--plan", action="store_true", help="print what would be run, and stop")
    sweep_options.add_arguments(parser)
    return parser


def _list(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Parser of a list with commas."""

    def parse(text: str) -> tuple[Any, ...]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        if not items:
            raise argparse.ArgumentTypeError(f"{text!r} holds no value; write one, or several with commas")
        try:
            return tuple(dict.fromkeys(kind(item) for item in items))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers, such as 0.8 or 0.5,0.8") from error

    return parse


def _seeds(text: str) -> tuple[int, int | None]:
    """Parser of N or FIRST:END: the first seed and how many there are."""
    first, colon, end = text.rpartition(":")
    numbers = [int(word) for word in (first or "0", end) if word.removeprefix("-").isdecimal()]
    if len(numbers) < 2 or (colon and numbers[0] >= numbers[1]):
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; write 10, or 10:20 for 10 to 19")
    return numbers[0], numbers[1] - numbers[0]


def _numbers(text: str) -> tuple[float, ...] | Range:
    """Parser of a list of numbers, or of a range low:high."""
    if ":" not in text:
        return _list(float)(text)
    try:
        return Range.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _setting(text: str) -> tuple[str, tuple[float, ...] | Range]:
    """Parser of NAME=V,…"""
    name, separator, values = text.partition("=")
    if not (name.strip() and separator):
        raise argparse.ArgumentTypeError(f"{text!r} does not read like NAME=VALUE, such as gamma=0.2")
    return name.strip().replace("-", "_"), _numbers(values)


def select(options: argparse.Namespace) -> Selection:
    """The selection that the options name, checked.

    Raises:
        ValueError: a name or number is not known or not allowed.
    """
    sweep = sweep_options.take(options)
    selection = Selection(
        suites=tuple(dict.fromkeys(options.suites)) or SUITES,
        backend=options.backend or installed_backend(),
        precisions=options.precision,
        repeats=options.repeats,
        pairs=options.pair,
        datasets=options.dataset,
        methods=options.method,
        alphas=options.alpha,
        betas=options.beta,
        temperatures=options.temperature,
        presets=options.preset,
        distill_weights=options.distill_weight,
        hard_weights=options.hard_weight,
        settings=tuple(options.settings),
        scale=options.scale,
        first_seed=options.seeds[0],
        seeds=options.seeds[1],
        dtypes=options.dtype,
        teacher_weights=options.teacher_weights,
        sweep=sweep,
    )
    check(selection)
    if sweep is not None:
        sweep_options.check_axes(selection)
    if options.teacher_of is not None:
        selection = replace(selection, teacher_weights=_teacher_of(options, selection))
    defaults.file_name(selection.teacher_weights)
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"threads {options.threads!r} is not allowed; it must be at least 1")
    return selection


def _teacher_of(options: argparse.Namespace, selection: Selection) -> str:
    """The file that `--teacher-of` means."""
    check_choice("teacher-of", options.teacher_of, backends.BACKENDS)
    if options.teacher_weights is not None:
        raise ValueError("teacher-of and teacher-weights both name a teacher; leave one of them out")
    return str(teachers.weights_of(options.teacher_of, selection, Store(options.store)))


def installed_backend() -> str:
    """The only backend whose framework is installed.

    Raises:
        ValueError: there is none, or there are several.
    """
    installed = [name for name in backends.BACKENDS if importlib.util.find_spec(name) is not None]
    if len(installed) == 1:
        return installed[0]
    if not installed:
        raise ValueError(
            f"no backend is installed; run `nox -s {backends.BACKENDS[0]}` (or {', '.join(backends.BACKENDS[1:])})"
        )
    raise ValueError(f"backend is not given and several are installed; choose one of {', '.join(installed)} with --backend")
