"""What the project's commands have in common: words for wrong options, and an output that is closed early."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

# what a shell reports of a command whose reader went away: 128 + SIGPIPE
CLOSED_EARLY = 141
# letters of a message
_LONGEST = 4000


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and, for an option that is not known, names the nearest that is."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_known_args(self, args=None, namespace=None) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but exits with status 2 where an argument is not known: here, a command's own options are."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            near = difflib.get_close_matches(name.lower(), self._option_string_actions, n=1)
            known = f"did you mean {near[0]}?" if near else "--help lists what is known"
            self.error(f"{name!r} is not known; {known}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """End the command with a message and exit status 2; words that fill a screen are shortened."""
        message = re.sub(r"\S{200,}", lambda word: f"{word[0][:80]}… ({len(word[0]):,} letters)", message)
        super().error(message if len(message) < _LONGEST else f"{message[:_LONGEST]}…")


def whole_number(text: str) -> int:
    """Parser of a whole number for `add_argument(type=…)`."""
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, such as 2") from error


def run(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a command and exit with its status; quietly where its reader, such as `head`, has closed the output."""
    try:
        status = main(None)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes as it ends
        status = CLOSED_EARLY
    sys.exit(status)
