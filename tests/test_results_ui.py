"""`python -m results ui` serves on this machine only, also an empty store, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
from mlflow_server import free_port

from results.__main__ import main


def test_the_ui_opens_on_an_empty_store_and_ends_with_its_workers(tmp_path):
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
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().decode()
        assert "<title>MLflow" in page
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        process.send_signal(signal.SIGTERM)  # the harder case: no Ctrl-C reaches the workers
        assert process.wait(30) == 0
        assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]  # nothing in the current directory
    finally:
        process.kill()


def test_a_port_in_use_is_named(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["ui", "--store", str(tmp_path), "--port", str(port)]) == 1
    assert f"Port {port} is in use" in capsys.readouterr().err


def test_a_server_elsewhere_is_pointed_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://10.0.0.1:5000")
    assert main(["ui", "--store", str(tmp_path)]) == 0
    assert "http://10.0.0.1:5000" in capsys.readouterr().out
