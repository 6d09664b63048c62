"""What was typed, put into one form: suites first, then every option with its value as `--name=value`.

In this form the order of suites and options does not matter, a value may begin with a minus, several settings may follow
one `--set`, and a study file holds the same words (`suites.studies`).
"""

import argparse
from collections.abc import Collection, Iterable


def normalised(parser: argparse.ArgumentParser, typed: Iterable[str], suites: Collection[str]) -> list[str]:
    """The words in that form; those that are not known are left as they are.

    Args:
        parser: whose options are known.
        typed: as the shell hands them over.
        suites: names of suites, which are never the value of an option that can do without one.

    Raises:
        ValueError: an option has two dashes for a value.
    """
    known = parser._option_string_actions
    named, options, waiting = [], [], list(typed)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            named += waiting
            break
        name, is_joined, _ = word.partition("=")
        action = known.get(name)
        if action is None:
            (options if word.startswith("-") else named).append(word)
        elif action.dest == "settings":
            several = [word] if is_joined else []
            while waiting and "=" in waiting[0] and not waiting[0].startswith("-"):
                several.append(f"{name}={waiting.pop(0)}")
            if not several and waiting and not _is_option(waiting[0], known):  # the parser says what is wrong with it
                several = [f"{name}={waiting.pop(0)}"]
            options += several or [word]
        elif is_joined or action.nargs == 0 or not waiting or _is_option(waiting[0], known):
            options.append(word)
        else:
            is_suite = action.nargs == "?" and waiting[0] in suites
            options.append(word if is_suite else f"{name}={waiting.pop(0)}")
    for word in options:
        if word.endswith("=--"):  # which argparse takes for no value at all
            raise ValueError(f"argument {word[:-3]}: '--' is no value; --help says what it takes")
    return named + options


def values(words: Iterable[str], option: str) -> list[str]:
    """What normalised words give an option, in their order."""
    return [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]


def _is_option(word: str, known: Collection[str]) -> bool:
    """Numbers such as -0.5 begin with one minus only."""
    return word.startswith("--") or word in known
