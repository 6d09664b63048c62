"""`python -m results ui` serves on this machine only, also an empty store, and leaves nothing running."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest
from mlflow_server import free_port

from results.__main__ import main


@contextlib.contextmanager
def served(tmp_path):
    """The process of the command, its port, and the processes that it started."""
    port = free_port()
    command = [sys.executable, "-m", "results", "ui", "--store", str(tmp_path / "store"), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith(f"MLflow UI: http://127.0.0.1:{port}")
        yield process, port, psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()


def are_gone(family):
    return not [p for p in psutil.wait_procs(family, timeout=20)[1] if p.status() != psutil.STATUS_ZOMBIE]


def test_the_ui_opens_on_an_empty_store_and_ends_with_its_workers(tmp_path):
    with served(tmp_path) as (process, port, family):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().decode()
        assert "<title>MLflow" in page
        listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        process.send_signal(signal.SIGTERM)  # the harder case: no Ctrl-C reaches the workers
        assert process.wait(30) == 0
        assert are_gone(family)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]  # nothing in the current directory


def test_a_ui_that_is_killed_leaves_no_server_behind(tmp_path):
    with served(tmp_path) as (process, port, family):
        assert len(family) >= 2
        process.kill()
        assert are_gone(family)
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("port", ["80000", "0", "-1"])
def test_what_is_no_port_is_a_sentence(tmp_path, capsys, port):
    assert main(["ui", "--store", str(tmp_path), f"--port={port}"]) == 1
    assert f"--port {port} is no port" in capsys.readouterr().err


def test_a_store_that_is_a_file_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["ui", "--store", str(tmp_path / "file"), "--port", str(free_port())]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_port_in_use_is_named(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["ui", "--store", str(tmp_path), "--port", str(port)]) == 1
    assert f"Port {port} is in use" in capsys.readouterr().err


def test_a_server_elsewhere_is_pointed_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://10.0.0.1:5000")
    assert main(["ui", "--store", str(tmp_path)]) == 0
    assert "http://10.0.0.1:5000" in capsys.readouterr().out
