"""A command that is killed leaves no process behind that measures, and none of its folders."""

import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import sleeping_worker

from suites.running import folders, isolated


def ask(note):
    folders = (str(Path(sleeping_worker.__file__).parent), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    isolated.ask("sleeping_worker", {"note": str(note)}, 120)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_the_measuring_process_ends_with_the_command(tmp_path, kind):
    note = tmp_path / "note"
    command = multiprocessing.get_context("fork").Process(target=ask, args=(note,))
    command.start()
    deadline = time.monotonic() + 60
    while not (note.is_file() and "\n" in note.read_text()):
        assert time.monotonic() < deadline and command.is_alive()
        time.sleep(0.02)
    process, folder = note.read_text().splitlines()
    measuring = psutil.Process(int(process))
    assert Path(folder).is_dir() and Path(folder).parent.name.startswith("abkd-measuring-")
    os.kill(command.pid, kind)
    command.join()
    assert not psutil.wait_procs([measuring], timeout=10)[1]
    assert not Path(folder).parent.exists()


def hold(prefix, queue):
    queue.put(str(folders.own_folder(prefix)))
    time.sleep(120)


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_those_of_the_living_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    killed, living = (context.Process(target=hold, args=("abkd-test-", queue)) for _ in range(2))
    killed.start()
    of_killed = Path(queue.get(timeout=30))
    living.start()
    of_living = Path(queue.get(timeout=30))
    (tmp_path / "abkd-test-just-made").mkdir()
    assert of_killed.is_dir()  # while its process lives
    killed.kill()
    killed.join()
    own = folders.own_folder("abkd-test-")
    assert not of_killed.exists() and of_living.is_dir() and own.is_dir() and (tmp_path / "abkd-test-just-made").is_dir()
    living.kill()
    living.join()


def test_a_process_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    with pytest.raises(isolated.CellStopped, match="more than 0.1 s"):
        monkeypatch.setenv("PYTHONPATH", str(Path(sleeping_worker.__file__).parent))
        isolated.ask("sleeping_worker", {"note": str(tmp_path / "note")}, 0.1)
