"""A sweep on a real Ray cluster of two local nodes, of which one is killed; skipped where Ray is not installed."""

import os
import re
import threading
import time
from collections import Counter
from pathlib import Path

import fake_harness
import psutil
import pytest

import backends
from results.records.store import Store
from suites import __main__ as command
from suites.sweep import ray_cluster

pytest.importorskip("ray", reason="Ray is not installed: nox -s tests-ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

HERE = Path(__file__).resolve().parent
# 23 students and their teacher
SWEEP = [
    "sweep",
    "--backend",
    "torch",
    "--sampler",
    "random",
    "--trials",
    "23",
    "--alpha",
    "0:1",
    "--beta",
    "0:1",
    "--seeds",
    "1",
    "--no-mlflow",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one cell each; the first is this process's own and stays."""
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        starts = tmp_path_factory.mktemp("starts")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))  # nodes import the NumPy backend from here
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("ABKD_TEST_STARTS", str(starts))
        patch.setenv("ABKD_TEST_GATE", str(starts / "gate"))
        patch.setenv("ABKD_TEST_PAUSE", "0.01")
        patch.setattr(backends, "load", lambda name: fake_harness)
        size = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80_000_000}  # Ray counts GPUs, there are none
        found = cluster_utils.Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
        found.other, found.starts = found.add_node(**size), starts
        patch.setenv("ABKD_TEST_PAUSE", "0")  # for this process; nodes have started
        yield found
        found.shutdown()


def test_early_stopping_on_a_cluster_gives_what_it_gives_here(cluster, tmp_path):
    chosen = [
        "sweep",
        "--backend",
        "torch",
        "--alpha",
        "0.2,1,0.1,0.5,0",
        "--beta",
        "0.2",
        "--seeds",
        "2",
        "--early-stop",
        "--no-mlflow",
    ]
    for place, options in (("there", ["--ray", cluster.address]), ("here", ["--workers", "1"])):
        assert command.main([*chosen, "--store", str(tmp_path / place), *options]) == 0
    there, here = ({r.key: (r.status, r.curves) for r in Store(tmp_path / place).records()} for place in ("there", "here"))
    assert there == here and {"ok", "pruned"} == {status for status, _ in there.values()}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_an_address_where_nothing_answers_is_an_error(tmp_path, capsys, address):
    with pytest.raises(SystemExit) as stopped:
        command.main([*SWEEP, "--store", str(tmp_path), "--ray", address])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and repr(address) in said and "ray start --head" in said


def test_cells_take_their_share_of_a_node(cluster, tmp_path, capsys, monkeypatch):
    chosen = [*SWEEP, "--store", str(tmp_path), "--ray", cluster.address, "--plan", "--gpus-per-cell"]
    assert command.main([*chosen, "0.25"]) == 0
    assert "with 2 cells at a time" in capsys.readouterr().out
    for share, words in (("2", "no node has 2 GPU"), ("1.5", "whole GPUs"), ("-1", "at least 0")):
        with pytest.raises(SystemExit):
            command.main([*chosen, share])
        assert words in capsys.readouterr().err
    nodes = [{"Alive": alive, "Resources": {"CPU": 8.0, "GPU": gpus}} for alive, gpus in ((1, 1.0), (1, 2.0), (0, 8.0))]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    shares = {ray_cluster.Share(1, 0.25): 12, ray_cluster.Share(4, 0.25): 4, ray_cluster.Share(2): 8}
    assert {share: ray_cluster.at_once(share) for share in shares} == shares


def wait_for(condition, seconds=30):
    """Wait until something is true; goes on after a while in any case, and the test's assertions say what is wrong."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)


def started_on(cluster, node):
    """How many trainings have begun in processes of a node."""
    of_node = {child.pid for child in psutil.Process(node.all_processes["raylet"][0].process.pid).children()}
    return sum(int(path.name.partition("-")[0]) in of_node for path in cluster.starts.glob("*-*"))


# the last test: it leaves one node
def test_a_node_is_killed_during_a_sweep_and_every_cell_has_one_record(cluster, tmp_path, capsys, monkeypatch):
    writes, nodes, killed, write = Counter(), Counter(), [], Store.write
    before, gate = len(list(cluster.starts.glob("*-*"))), cluster.starts / "gate"

    def open_gate():
        wait_for(lambda: len(list(cluster.starts.glob("*-*"))) >= before + 3)  # the teacher and two students
        gate.unlink()

    gate.touch()  # students wait, so that both nodes get some
    threading.Thread(target=open_gate, daemon=True).start()

    def counted(store, record):
        writes[record.key] += 1
        nodes[record.environment["now.ray_node"]] += 1
        if nodes[cluster.other.node_id] == 1 and not killed:
            wait_for(lambda: started_on(cluster, cluster.other) > 1)  # it trains another one by now
            killed.append(cluster.other.node_id)
            cluster.remove_node(cluster.other, allow_graceful=False)
        return write(store, record)

    store = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", counted)
        assert command.main([*SWEEP, "--store", str(store), "--ray", cluster.address]) == 0
    printed = capsys.readouterr().out
    records = Store(store).records()
    assert len(records) == len(writes) == 24 and set(writes.values()) == {1}
    assert {record.status for record in records} == {"ok"}
    assert len(list((store / "records" / "distill").glob("*.json"))) == 24
    assert len(re.findall(r"^\[ *\d+/24\] ", printed, re.MULTILINE)) == 24
    assert len(nodes) == 2 and killed
    assert len(list(cluster.starts.glob("*-*"))) - before > 24  # what was lost with the node was run again

    # the same cells, alone: finished already; and from the start: the same results
    assert command.main([*SWEEP, "--store", str(store), "--workers", "1"]) == 0
    assert "nothing to run; 24 were finished before" in capsys.readouterr().out
    assert command.main([*SWEEP, "--store", str(tmp_path / "alone"), "--workers", "1"]) == 0
    alone = {r.key: (r.curves, r.metrics["test/accuracy"]) for r in Store(tmp_path / "alone").records()}
    assert {r.key: (r.curves, r.metrics["test/accuracy"]) for r in records} == alone
