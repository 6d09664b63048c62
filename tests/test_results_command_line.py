"""The commands of results, suites and data sets: wrong options, and a reader that goes away."""

import os
import subprocess
import sys

import pytest

from results.command_line import CLOSED_EARLY


def command(*words: str, **keywords) -> subprocess.CompletedProcess:
    """Run `python -m …` as a user does."""
    return subprocess.run([sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True, **keywords)


@pytest.mark.parametrize(
    "words, says",
    [
        (("suites", "distill", "--methods", "kd"), "'--methods' is not known; did you mean --method?"),
        (("suites", "--sede=3"), "'--sede' is not known; did you mean --seeds?"),
        (("suites", "--threads", "two"), "argument --threads: 'two' is not a whole number, such as 2"),
        (("suites", "sweep", "--trials", "1.5"), "argument --trials: '1.5' is not a whole number"),
        (("results", "gate", "--othr-seeds", "3:5"), "did you mean --other-seeds?"),
        (("results", "ui", "--port", "x"), "argument --port: 'x' is not a whole number"),
        (("results", "compare", "--qqqqqqqqq"), "'--qqqqqqqqq' is not known; --help lists what is known"),
        (("suites.datasets", "fetch", "cifar100", "--ulr", "x"), "did you mean --url?"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(words: tuple[str, ...], says: str) -> None:
    ended = command(*words)
    assert ended.returncode == 2 and says in ended.stderr and "Traceback" not in ended.stderr


def test_options_are_not_abbreviated() -> None:
    assert "'--back' is not known" in command("results", "compare", "--back", "torch").stderr


@pytest.mark.parametrize("words", [("suites.datasets", "list"), ("results", "gate", "--simulate")])
def test_a_reader_that_goes_away_is_no_error(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        ended = command(*words, stdout=output)
    assert ended.returncode == CLOSED_EARLY and not ended.stderr
