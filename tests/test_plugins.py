"""Plugins that cannot be used end the command with one sentence, and nothing is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parent.parent
FAMILY = """
from backends.common.networks import Family

def register(add):
    add.model("mine", Family(None, None, ""), {})
"""
SPEECH = """
from suites.datasets.dataset import Dataset

def register(add):
    add.dataset(Dataset("x", "X", "speech", ""))
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there; name a Python file (.py) with a function register(add)"),
        ("import no_such_module\n", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def register(add\n", "cannot be imported: SyntaxError"),
        ("x = 1\n", "has no function register(add)"),
        ("def register(add):\n    1 / 0\n", "register fails with ZeroDivisionError: division by zero"),
        (
            "from suites.datasets.digits import DATASET\n\ndef register(add):\n    add.dataset(DATASET)\n",
            "the data set 'digits' is there already; choose another name than digits, dolly",
        ),
        (
            "from backends.common.methods import Method\n\ndef register(add):\n    add.method(Method('kd', 'KD', 'me'))\n",
            "the method 'kd' is there already",
        ),
        (FAMILY, "the family of networks 'mine' has no builder for the backend 'torch'"),
        (SPEECH, "of the task 'speech', which is not known; choose one of classification"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    runner = tmp_path / "command.py"
    runner.write_text(
        "import sys\nsys.path[:0] = sys.argv[1:3]\nimport backends, fake_harness\n"
        "backends.load = lambda name: fake_harness\nfrom suites import __main__\nsys.exit(__main__.main(sys.argv[3:]))\n"
    )
    arguments = ["distill", "--backend", "torch", "--no-mlflow", "--store", str(tmp_path / "store"), "--plugin", str(path)]
    ended = subprocess.run(
        [sys.executable, str(runner), str(CLONE), str(CLONE / "tests"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "ABKD_PLUGINS"},
    )
    assert ended.returncode == 2 and ended.stdout == ""
    message = ended.stderr[ended.stderr.index("error: ") :]
    assert words in message and str(path) in message and "Traceback" not in ended.stderr
    assert not list((tmp_path / "store").rglob("*.json"))
