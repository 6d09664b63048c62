"""A sweep's cells as tasks of a Ray cluster: each with its share of a node, run again elsewhere when its node dies.

Nodes need the project and its data at the same state, and share no disk with this machine: a task gets the teacher's
weights with it and gives back how its cell ended. This process alone writes records, one for each cell.
"""

import atexit
import dataclasses
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results import atomic
from results.records import environment
from suites import registry
from suites.cell import Cell
from suites.distill import cells as distill_cells
from suites.plan import PlannedCell
from suites.running import folders
from suites.running.measuring import Ended, not_run, surroundings
from suites.running.progress import Progress
from suites.running.workers import Setup
from suites.suite import CellStopped, Context, Stop, never
from suites.sweep import stopping
from suites.sweep.options import ANY_CLUSTER
from suites.sweep.stopping import Rules, Wait

# how often a cell is run again after its node or its process died
RETRIES = 5
# seconds that a training waits for the verdict of one that comes before it, whose node may have died
PATIENCE = 120.0
# seconds after which an address that does not answer is given up
_ANSWER = 5.0

_contexts: dict[Setup, Context] = {}


@dataclasses.dataclass(frozen=True)
class Share:
    """What a cell takes of its node."""

    cpus: float = 1.0
    gpus: float = 0.0


def connect(address: str) -> None:
    """Join the cluster at `address`; "auto" takes one that runs on this machine, or starts one of this machine alone.

    Raises:
        ValueError: nothing answers there, or it is another version of Ray or Python.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address != ANY_CLUSTER:
        _check_answers(address)
    try:
        if address == ANY_CLUSTER:
            ray.init(include_dashboard=False, **quiet)  # $RAY_ADDRESS, a cluster of this machine, or a new one
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first_line = next(iter(str(error).splitlines()), "")
        raise ValueError(f"ray {address!r} cannot be joined: {first_line}. {_NEXT_STEP}") from error


_NEXT_STEP = "Start it there with `ray start --head`, and give the address that this prints"


def _check_answers(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not host or not port.isdigit():
            raise OSError("it does not read like HOST:PORT")
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"ray {address!r} does not answer ({error}). {_NEXT_STEP}") from error


def at_once(share: Share) -> int:
    """How many cells the cluster has room for, at least one."""
    import ray

    rooms = 0
    for node in ray.nodes():
        there = node["Resources"] if node["Alive"] else {}
        room = there.get("CPU", 0) / share.cpus
        rooms += int(min(room, there.get("GPU", 0) / share.gpus) if share.gpus else room)
    return max(1, rooms)


def describe_node(setup: Setup, share: Share) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Device, description of the backend and environment of a node: keys are made of those, not of this machine's.

    Raises:
        ValueError: no node has that share, or the backend cannot be set up on it.
    """
    import ray

    there = ray.cluster_resources()
    for name, wanted in (("CPU", share.cpus), ("GPU", share.gpus)):
        if wanted > max((node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"]), default=0):
            raise ValueError(
                f"ray: no node has {wanted:g} {name} for a cell; the cluster has {there.get(name, 0):g} in all. Ask for a "
                "smaller share with --threads (CPU) or --gpus-per-cell"
            )
    try:
        return ray.get(_remote(_describe, share, "description of a node").remote(setup))
    except ray.exceptions.RayError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
        raise ValueError(f"ray: a node cannot set the backend up ({reason.strip()}). Install the project there") from error


def _describe(setup: Setup) -> tuple[str, dict[str, str], dict[str, Any]]:
    context = _context(setup)
    return context.device, dict(context.description), dict(context.environment)


def _remote(function: Any, share: Share, name: str) -> Any:
    """A function as a task with that share and a name for Ray's messages and dashboard."""
    import ray

    return ray.remote(function).options(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES, name=name)


class _Answers:
    """A judge in an actor, as `Wait` and the driver ask it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def ask(self, name: str, epochs: int, score: float, now: bool = False) -> bool | None:
        import ray

        return ray.get(self.actor.ask.remote(name, epochs, score, now))

    def end(self, name: str) -> None:
        self.actor.end.remote(name)


@dataclasses.dataclass
class Cluster:
    """Runs cells on the cluster that this process has joined (`suites.sweep.run.Execute`).

    Attributes:
        setup: what a node makes its own context from.
        share: what each takes of a node.
    """

    setup: Setup
    share: Share

    def __call__(
        self, items: list[PlannedCell], rules: Rules | None, context: Context, progress: Progress
    ) -> Iterator[tuple[PlannedCell, Ended]]:
        """Each cell with how it ended, as they end."""
        import ray

        items = items if rules is not None else list(context.take(items))  # with rules all of them are held
        if not items:
            return
        progress.begin(f"{len(items)} cells, up to {at_once(self.share)} at a time")
        judge = None if rules is None else self._judge(rules)
        setup, teachers = ray.put(self.setup), self._teachers(items, context)
        waiting: dict[ray.ObjectRef, PlannedCell] = {}
        try:
            for planned in items:
                waits = judge is not None and planned.key not in rules.known
                stop = Wait(judge, planned.key, PATIENCE) if waits else never
                task = _remote(_run, self.share, planned.label)
                weights = teachers.get(_teacher_key(planned.cell, context))
                reference = task.remote(setup, planned.cell, planned.key, stop, weights)
                waiting[reference] = planned
            while waiting:
                (reference,), _ = ray.wait(list(waiting), num_returns=1)
                planned = waiting.pop(reference)
                ended = self._fetch(reference, planned, context)
                if judge is not None:
                    judge.end(planned.key)
                yield planned, ended
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)

    def _judge(self, rules: Rules) -> _Answers:
        """On this node: it lives as long as the sweep does."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return _Answers(ray.remote(stopping.Judge).options(num_cpus=0, scheduling_strategy=here).remote(rules))

    def _teachers(self, items: list[PlannedCell], context: Context) -> dict[str | None, Any]:
        """Weights of the teachers that these cells learn from, or are, once each in the cluster's memory; by key."""
        import ray

        weights = {}
        if any(planned.cell.method == distill_cells.TEACHER for planned in items) and context.teacher_weights:
            weights[None] = ray.put(Path(context.teacher_weights).expanduser().read_bytes())
        for key in {_teacher_key(planned.cell, context) for planned in items} - {None}:
            path = context.store.weights_path(key)
            if path.is_file():
                weights[key] = ray.put(path.read_bytes())
        return weights

    def _fetch(self, reference: Any, planned: PlannedCell, context: Context) -> Ended:
        """What a task gave back; a teacher's weights go into the store."""
        import ray

        try:
            ended, weights = ray.get(reference)
        except ray.exceptions.OutOfMemoryError as error:
            return not_run("out-of-memory", _first_line(error))
        except ray.exceptions.RayError as error:
            return not_run("failed", f"its task was lost {RETRIES + 1} times: {type(error).__name__}: {_first_line(error)}")
        if weights is not None:
            atomic.write(context.store.weights_path(planned.key), weights)
        return ended


def _teacher_key(cell: Cell, context: Context) -> str | None:
    taught_by = distill_cells.resolve(cell, context).taught_by
    return None if taught_by is None else taught_by.key


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _context(setup: Setup) -> Context:
    """The context of this worker process, made once, with a store of its own that ends with it."""
    if setup not in _contexts:
        folder = folders.own_folder("abkd-ray-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        context = dataclasses.replace(setup, store=folder).context()
        _contexts[setup] = dataclasses.replace(context, environment=environment.capture())
    return _contexts[setup]


def _run(setup: Setup, cell: Cell, key: str, stop: Stop, teacher: bytes | None) -> tuple[Ended, bytes | None]:
    """On a node: run a cell; how it ended, and the weights of a teacher."""
    context = _context(setup)
    try:
        _check_same(cell, key, context)
    except CellStopped as stopped:
        return dataclasses.replace(not_run(stopped.status, str(stopped)), environment=_surroundings(context)), None
    if teacher is not None:
        is_given = cell.method == distill_cells.TEACHER
        path = context.store.path / "given.safetensors" if is_given else context.store.weights_path(_teacher_key(cell, context))
        if not path.is_file():
            atomic.write(path, teacher)
        context = dataclasses.replace(context, teacher_weights=str(path) if is_given else None)
    ended = registry.measure(cell, context, stop)
    ended.environment = _surroundings(context)
    weights = context.store.weights_path(key)
    is_teacher = cell.method == distill_cells.TEACHER and weights.is_file()
    return ended, weights.read_bytes() if is_teacher else None


def _check_same(cell: Cell, key: str, context: Context) -> None:
    """The result must be what its key says: of the same code, data, device and settings.

    Raises:
        CellStopped: this node has others, or the data is not there.
    """
    refusal = distill_cells.refusal(cell, context)
    if refusal is not None:
        raise CellStopped(*refusal)
    if context.device != cell.device or distill_cells.resolve(cell, context).key != key:
        raise CellStopped(
            "failed",
            f"node {socket.gethostname()} has another state of the project, its data, device "
            f"({context.device}) or settings than this sweep ({cell.device}): install the same commit and data there",
        )


def _surroundings(context: Context) -> dict[str, Any]:
    """Those of this node, with its name in the cluster."""
    import ray

    return surroundings(context) | {"now.ray_node": ray.get_runtime_context().get_node_id()}
