"""A measurement in a process of its own: its memory and threads are its own, and what kills it takes no other cell."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from results.places import CLONE
from suites.running import machine
from suites.suite import CellStopped, Context

Asked = TypeVar("Asked")
_PREFIX = "abkd-measuring-"


def threads(context: Context) -> int:
    """Threads that a timing uses: as asked for, or all cores that this process may use."""
    return machine.cores() if context.loss_threads is None else context.loss_threads


def ask(module: str, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Run `python -m MODULE REQUEST ANSWER`, two JSON files, and return the answer.

    Args:
        module: what runs; it reads the request and writes the answer.
        request: plain data.
        timeout: seconds after which the process is taken for stuck.

    Raises:
        CellStopped: the process ran out of memory or time.
        RuntimeError: it failed otherwise; the message holds the end of what it printed.
    """
    # pytest measures there, and must not take what a pytest that started this process says of itself for its own
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CLONE), environment.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        environment["TMPDIR"] = folder  # what the process leaves behind lies there too
        asked, answer, log = (Path(folder) / name for name in ("request.json", "answer.json", "log.txt"))
        asked.write_text(json.dumps(request))
        command = [sys.executable, "-m", module, str(asked), str(answer)]
        with log.open("w") as printed:
            # nothing is ever written to its input, which ends when this process does, however that is
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT, env=environment
            )
            try:
                status = process.wait(timeout=timeout)
            except subprocess.TimeoutExpired as error:
                raise CellStopped("timeout", f"the measuring process took more than {timeout:g} s") from error
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdin.close()
        if status == 0:
            return json.loads(answer.read_text())
        text = log.read_text(errors="replace").strip()
        if status == -9 or machine.ran_out(text):
            raise CellStopped("out-of-memory", f"the measuring process ran out of memory (status {status})")
        raise RuntimeError(f"the measuring process ended with status {status}: {' | '.join(text.splitlines()[-6:])}")


def _end_with_parent(pipe: int, folder: Path) -> None:
    """A process that was killed leaves none behind that goes on measuring, nor the folder of its question."""
    os.read(pipe, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def answer(kind: Callable[..., Asked], measure: Callable[[Asked], dict[str, Any]]) -> None:
    """What a module does that `ask` runs: read the request, measure, write the answer.

    Args:
        kind: makes a problem of the request's fields.
        measure: plain data of a problem.
    """
    asked, answered = map(Path, sys.argv[1:])
    threading.Thread(
        target=_end_with_parent, args=(os.dup(sys.stdin.fileno()), asked.parent), name="parent", daemon=True
    ).start()
    answered.write_text(json.dumps(measure(kind(**json.loads(asked.read_text())))))
