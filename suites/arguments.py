"""What a user can type: the command line's arguments, and the selection that they name."""

import argparse
import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import backends
from backends.common import methods
from backends.common.training.loop import PRECISIONS
from reference import presets
from results import command_line
from results.records.store import Store
from suites import plugins, studies
from suites.cell import DTYPES, SCALES
from suites.checks import check, check_choice
from suites.counting import check_count
from suites.distill import given, numbers, teachers
from suites.distill.recipes import find
from suites.listing import LISTS
from suites.selection import SUITES, SUITES_ON_REQUEST, SWEEP, Range, Selection
from suites.sweep import options as sweep_options
from suites.typed import normalised, values

# small networks gain nothing from more threads, and lose a lot where other processes want the cores too
SMOKE_THREADS = 1
# more than any machine has cores
MOST_THREADS = 4096
# frameworks' generators take seeds of 32 bits
SEEDS_END = 2**32
SUITE_NAMES = (*SUITES, *SUITES_ON_REQUEST, SWEEP)
_TRAINING = ("distill", SWEEP)
# options that only some suites look at; --precision and --repeats are among the checks
_FITS = {
    **dict.fromkeys(("pair", "method", "distill_weight", "hard_weight", "settings"), (*_TRAINING, "throughput")),
    **dict.fromkeys(("alpha", "beta", "preset", "temperature"), ("loss", *_TRAINING, "throughput")),
    **dict.fromkeys(("dataset", "seeds", "teacher_weights", "teacher_of", "keep_students"), _TRAINING),
}
# README's, which a test compares
EXAMPLES = """\
examples:
  python -m suites distill --method abkd,kd --alpha 0.2,0.5,0.8 --beta 0.2 --seeds 3 --plan
  python -m suites distill --method kd --set learning_rate=0.1,0.05 epochs=10 teacher.epochs=50
  python -m suites distill --pair resnet56:resnet20 --method abkd,kd --alpha 0.8 --beta 0.2 --seeds 3 --scale small
  python -m suites sweep --alpha 0.2,0.4,0.6,0.8,1 --beta 0,0.2,0.4,0.6,0.8 --seeds 3
  python -m suites --study study.toml
  python -m suites --list methods
"""


class SuitesParser(command_line.Parser):
    """The command's parser, whose messages say where the words come from.

    Attributes:
        place: a study's file and selection; "" for the command line.
    """

    place = ""

    def error(self, message: str) -> NoReturn:
        """End the command with a message and exit status 2."""
        super().error(f"{self.place}: {message}" if self.place else message)


def parts(parser: argparse.ArgumentParser, typed: Sequence[str]) -> list[studies.Part]:
    """The command's selections: that of its words, or those of its study, for which the words are meant as well.

    Raises:
        suites.studies.StudyError: the study cannot be used.
    """
    words = normalised(parser, typed, SUITE_NAMES)
    files = values(words, "--study")
    if not files or "--help" in words or "-h" in words:
        return [studies.Part(tuple(words))]
    named = [word for word in words if not word.startswith("-")]
    if named:
        raise studies.StudyError(f"suite {named[0]!r} beside --study: a study names its own suites; leave one of them out")
    return [replace(part, words=(*part.words, *words)) for part in studies.read(Path(files[-1]).expanduser(), parser)]


def plugin_files(part: studies.Part) -> tuple[Path, ...]:
    """The files of `--plugin` and of the environment, which are loaded before anything else is looked at."""
    return plugins.chosen(values(part.words, "--plugin"))


def build_parser() -> SuitesParser:
    """The command line's arguments; the help texts name what is in the tables at this moment."""
    parser = SuitesParser(
        prog="python -m suites",
        usage="%(prog)s [suite ...] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure a backend: agreement of the loss with the reference, its speed, and the distillation of\n"
        "students. Lists (with commas) multiply. Finished cells are not run again.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="suite",
        help=f"{', '.join(SUITES)}: all of them where none is named; {', '.join(SUITES_ON_REQUEST)} where it is; {SWEEP} alone",
    )
    _add_command(parser.add_argument_group("the command").add_argument)
    _add_students(parser.add_argument_group("students", "What is trained, and by which loss.").add_argument)
    _add_teacher(parser.add_argument_group("teacher", "Trained once, for all of its students.").add_argument)
    _add_numerics(parser.add_argument_group("numbers", "Types of numbers, and what they differ by.").add_argument)
    _add_machine(parser.add_argument_group("machine and store", "Where it runs, and what is kept.").add_argument)
    sweep_options.add_arguments(parser)
    return parser


def _add_command(add: Callable[..., Any]) -> None:
    add("--backend", help=f"{', '.join(backends.BACKENDS)} (default: the one that is installed)")
    add("--plan", action="store_true", help="print what would be run, and stop; exit status 1 where nothing can run")
    add("--list", choices=LISTS, metavar="WHAT", help=f"print what can be named, and stop: {', '.join(LISTS)}")
    add("--study", metavar="FILE", help="run the selections of a TOML file, which holds the same words (docs/tasks.md)")
    add("--write-study", metavar="FILE", help="write the study that runs the same again")
    add(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a file of your own that adds data sets, recipes, networks, methods, metrics or tasks (docs/plugin_example.py); "
        f"may be given again; also ${plugins.VARIABLE}",
    )


def _add_students(add: Callable[..., Any]) -> None:
    add(
        "--scale",
        default=SCALES[0],
        help=f"{', '.join(SCALES)}: embedded data, real data and a short schedule, the paper's recipe (default %(default)s)",
    )
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
    add("--alpha", type=_numbers, default=(), metavar="A,…", help="default: the recipe's; in a random sweep also LOW:HIGH")
    add("--beta", type=_numbers, default=(), metavar="B,…", help="default: the recipe's")
    add("--preset", type=_list(str), default=(), metavar="NAME,…", help=f"alpha and beta by name: {', '.join(presets.PRESETS)}")
    add("--temperature", type=_numbers, default=(), metavar="T,…", help="default: the recipe's; 1 in the loss suite")
    for name, term in (("distill", "distillation term"), ("hard", "labels' cross-entropy")):
        text = f"weight of the {term} (default: the recipe's)"
        add(f"--{name}-weight", type=_numbers, default=(), metavar="W,…", help=text)
    add(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=V,…",
        dest="settings",
        help="another parameter of a method, such as gamma=0.2, or a number of the students' training, such as epochs=10 or "
        "learning_rate=0.1,0.05; of the teacher's with teacher. before it: teacher.epochs=50. Several may follow each other",
    )
    add(
        "--seeds",
        type=_seeds,
        default=(0, None),
        metavar="N|FIRST:END",
        help="seeds 0 to N − 1, or FIRST to END − 1 (default: from 0, as many as the recipe says)",
    )
    add(
        "--repeats",
        type=command_line.whole_number,
        default=0,
        metavar="N",
        help="train each student N times more with the rows of each batch in another order: how far runs of one seed "
        "lie apart (default: %(default)s)",
    )
    add("--keep-students", action="store_true", help="keep the students' weights, in the store and in MLflow")


def _add_teacher(add: Callable[..., Any]) -> None:
    add("--teacher-weights", metavar="FILE", help="safetensors of the teacher, which is then not trained")
    add(
        "--teacher-of",
        metavar="BACKEND",
        help="the teacher that this backend has trained in the same store, so that "
        "students of several backends learn from the same weights",
    )


def _add_numerics(add: Callable[..., Any]) -> None:
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


def _add_machine(add: Callable[..., Any]) -> None:
    add("--device", default="auto", help="auto, cpu, or what the backend calls its accelerator (default %(default)s)")
    add(
        "--threads",
        type=command_line.whole_number,
        help=f"CPU threads (default: {SMOKE_THREADS} at scale smoke and with --ray, else all; all in the loss suite)",
    )
    add("--store", help="folder of the records (default: $ABKD_STORE, else results/store of the clone)")
    add("--no-mlflow", action="store_true", help="leave MLflow out; `python -m results sync` sends the records later")
    add(
        "--accept-other-code",
        action="store_true",
        help="take finished records of the same cell, recipe and data as they are, though the code that computes them has "
        "changed since; the plan says in which files",
    )
    add("--redo", action="store_true", help="run the chosen cells again, also those that are finished")


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
    numbers = [int(word) for word in (first or "0", end) if re.fullmatch(r"-?[0-9]{1,20}", word)]
    if len(numbers) < 2 or (colon and numbers[0] >= numbers[1]):
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; write 10, or 10:20 for 10 to 19")
    if numbers[1] > SEEDS_END:
        raise argparse.ArgumentTypeError(f"{text!r} names seeds from 2**32 on; they are below it: write 10, or 10:20")
    return numbers[0], numbers[1] - numbers[0]


def _numbers(text: str) -> tuple[float, ...] | Range:
    """Parser of a list of numbers, or of a range low:high."""
    if ":" not in text:
        return _list(float)(text)
    try:
        return Range.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _setting(text: str) -> tuple[str, tuple[float | str, ...] | Range]:
    """Parser of NAME=V,…; what is no number is a word, such as cosine."""
    name, separator, values = text.partition("=")
    if not (name.strip() and separator):
        raise argparse.ArgumentTypeError(f"{text!r} does not read like NAME=VALUE, such as gamma=0.2 or epochs=10")
    return name.strip().replace("-", "_"), _numbers(values) if ":" in values else _list(_number_or_word)(values)


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


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
    _check_fit(options, selection.suites)
    check(selection)
    check_count(selection)
    if sweep is not None:
        sweep_options.check_axes(selection)
    if options.teacher_of is not None:
        weights = _teacher_of(options, selection)
        others = tuple((name, values) for name, values in selection.settings if not name.startswith(numbers.OF_TEACHER))
        selection = replace(selection, teacher_weights=weights, settings=others)
    if set(selection.suites) & set(numbers.TRAINING_SUITES):
        given.check(selection)
    if options.threads is not None and not 1 <= options.threads <= MOST_THREADS:
        raise ValueError(f"threads {options.threads!r} is not allowed; it must be at least 1 and at most {MOST_THREADS:,}")
    return selection


def _check_fit(options: argparse.Namespace, suites: tuple[str, ...]) -> None:
    """Refuse an option that none of the chosen suites looks at."""
    if not set(suites) <= set(SUITE_NAMES):
        return  # which the other checks say
    for name, having in _FITS.items():
        if getattr(options, name) not in ((), [], None, False, (0, None)) and not set(having) & set(suites):
            flag = "set" if name == "settings" else name.replace("_", "-")
            raise ValueError(
                f"--{flag} fits none of the chosen suites ({', '.join(suites)}); leave it out, or name one of "
                f"{', '.join(having)}"
            )


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
