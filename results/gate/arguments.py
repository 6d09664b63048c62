"""The words of `python -m results gate`; nothing that takes time is imported here."""

import argparse
from pathlib import Path

from results.escaping import shortened

# a comparison of more seeds than this is a slip of the finger
_MOST_SEEDS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command beside those that all commands on records share."""
    parser.add_argument(
        "--seeds", type=_count, help="judge only the first so many seeds of the baselines; at least 2 say anything"
    )
    parser.add_argument("--baselines", type=Path, help="folder of the baselines (default: the committed ones)")
    parser.add_argument("--markdown", metavar="FILE", help="write the summary to this file too")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML to this file")
    parser.add_argument("--update", action="store_true", help="record the store's figures as the new baselines")
    parser.add_argument("--reason", default="", help="why the baselines change; required with --update")
    parser.add_argument("--replace", action="store_true", help="with --update: drop entries that the store has no record of")
    parser.add_argument(
        "--accept-regression", action="store_true", help="with --update: record figures that are worse, and measure from them"
    )
    parser.add_argument(
        "--accept-other-code",
        action="store_true",
        help="judge records that other code has made as well, if recipe and data are today's; they are stale otherwise",
    )
    parser.add_argument("--time", action="store_true", help="judge (with --update: record) times of the loss as well")
    parser.add_argument(
        "--other-seeds",
        type=_seeds,
        metavar="FIRST:END",
        help="compare the means of these seeds (10:20 is 10 to 19) with the recorded means; sees much less",
    )
    parser.add_argument("--simulate", action="store_true", help="print how often the test of accuracy is wrong, and stop")
    parser.add_argument(
        "--repeated",
        action="store_true",
        help="gate every run of other seeds in the store for itself, print how they came out, and stop",
    )


def _count(text: str) -> int:
    if not (isinstance(text, str) and text.isdecimal() and 0 < len(text) < 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{shortened(text, 40)!r} is no number of seeds; write one from 1 on, such as 10")
    return int(text)


def _seeds(text: str) -> range:
    first, _, end = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not (first.isdecimal() and end.isdecimal() and max(len(first), len(end)) < 10 and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{shortened(text, 40)!r} names no seeds; write FIRST:END, such as 10:20 for 10 to 19")
    if int(end) - int(first) > _MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} are more than {_MOST_SEEDS} seeds; name fewer, such as 10:20")
    return range(int(first), int(end))


def check(parsed: argparse.Namespace) -> None:
    """Refuse words that do not go together.

    Raises:
        ValueError: with the words and what to do.
    """
    if (parsed.reason or parsed.replace or parsed.accept_regression) and not parsed.update:
        raise ValueError("--reason, --replace and --accept-regression go with --update; add it, or leave them out.")
    for name, value in vars(parsed).items():  # argparse makes a list of "--seeds=--"
        if any(isinstance(single, list) for single in (value if name == "where" else [value])):
            raise ValueError(f"--{name.replace('_', '-')} is followed by '--'; give it a value, or leave it out.")
