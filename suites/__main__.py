"""The command line: `python -m suites [agreement] [loss] [distill] [options]`, or `python -m suites sweep [options]`.

Exit status: 0 all cells measured, 1 some were not or were outside their bounds, or nothing of the plan can run, 2 the
command or the store is not usable, 130 interrupted.
"""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import backends
from results import command_line
from results.records import environment
from results.records.record import Record
from results.records.store import Store, StoreError
from suites import arguments, plan, plugins, registry, studies
from suites.listing import listing
from suites.running import runner, workers
from suites.selection import Selection
from suites.suite import Context
from suites.sweep import plan as sweep_plan
from suites.sweep import run as sweep_run

# options that are the command's own, the same for all selections of a study
_SHARED = ("backend", "device", "threads", "store", "no_mlflow", "plan", "accept_other_code", "redo", "ray", "gpus_per_cell")


@dataclass
class Part:
    """One selection of the command, and what becomes of it.

    Attributes:
        selection: what is asked for.
        options: as they were typed.
        context: what its cells share.
        execute: what runs cells of a sweep.
        sweep: where it is one.
        cells: the plan.
    """

    selection: Selection
    options: argparse.Namespace
    context: Context | None = None
    execute: sweep_run.Execute | None = None
    sweep: sweep_plan.SweepPlan | None = None
    cells: list[plan.PlannedCell] = field(default_factory=list)

    def make_plan(self, done: Iterable[Record] = ()) -> None:
        """Look up its cells in the store.

        Args:
            done: records of selections that this command has run: their cells are not run again.

        Raises:
            ValueError: a cell cannot be made of what is chosen.
        """
        if self.selection.sweep is None:
            self.cells = plan.make_plan(registry.SUITES, self.selection, self.context)
        else:
            self.sweep = sweep_plan.make_plan(self.selection, self.context)
            self.cells = self.sweep.cells
        by_key = {record.key: record for record in done if record.status in plan.FINISHED}
        self.cells[:] = [
            replace(cell, state="finished", record=by_key[cell.key]) if cell.state == "run" and cell.key in by_key else cell
            for cell in self.cells
        ]

    def describe(self) -> str:
        """The plan in words."""
        return plan.describe(self.cells) if self.sweep is None else sweep_plan.describe(self.sweep, self.context.workers)

    def run(self) -> runner.Run:
        """Run the plan."""
        if self.sweep is None:
            return runner.run_plan(self.cells, self.context, runner.SideBySide(registry.measure))
        return sweep_run.run_plan(self.sweep, self.context, self.execute)


def prepare(parts: Sequence[Part]) -> None:
    """Check the store, load the backend and set it up: what cells share, and what runs those of a sweep.

    Raises:
        results.records.store.StoreError: the store cannot be written.
        ModuleNotFoundError: the framework is not installed.
        ValueError: the device is not there, or selections do not go together.
    """
    first = parts[0]
    store = Store(first.options.store)
    store.check_writable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes to itself, between the cells' lines
    harness = backends.load(first.selection.backend)
    plugins.build_for(first.selection.backend)
    threads = _threads(first)
    if any(_threads(part) != threads for part in parts):
        raise ValueError("threads differ from one selection to the next, by their scale: write threads above the selections")
    shared = Context(
        backend=first.selection.backend,
        harness=harness,
        store=store,
        device=first.options.device,
        threads=threads,
        loss_threads=first.options.threads,
        accept_other_code=first.options.accept_other_code,
        redo=first.options.redo,
    )
    context, execute = (_on_this_machine if first.options.ray is None else _on_cluster)(first.options, shared)
    for part in parts:
        part.context = replace(
            context,
            workers=part.options.workers or context.workers,
            teacher_weights=part.selection.teacher_weights,
            keep_students=part.options.keep_students,
        )
        part.execute = execute


def _threads(part: Part) -> int | None:
    small = part.selection.scale == "smoke" or part.options.ray is not None
    return part.options.threads or (arguments.SMOKE_THREADS if small else None)


def _on_this_machine(options: argparse.Namespace, context: Context) -> tuple[Context, sweep_run.Execute]:
    """Set the backend up here."""
    harness = context.harness
    device = harness.set_up(threads=context.threads, device=options.device)
    at_once = workers.count(context.threads, device)
    described = {"description": harness.describe(), "environment": environment.capture()}
    return replace(context, device=device, workers=at_once, **described), sweep_run.on_this_machine


def _on_cluster(options: argparse.Namespace, context: Context) -> tuple[Context, sweep_run.Execute]:
    """Join the cluster; the context is that of its nodes, since this machine may have another device.

    Raises:
        ValueError: the cluster cannot be joined, or no node has room for a cell.
    """
    from suites.sweep import ray_cluster

    name, threads = context.harness.__name__, context.threads
    setup = workers.Setup(context.backend, name, threads, options.device, None, None, options.keep_students)
    share = ray_cluster.Share(float(threads), options.gpus_per_cell or 0.0)
    ray_cluster.connect(options.ray)
    device, description, surroundings = ray_cluster.describe_node(setup, share)
    at_once = ray_cluster.at_once(share)
    of_nodes = replace(context, device=device, workers=at_once, description=description, environment=surroundings)
    return of_nodes, ray_cluster.Cluster(setup, share)


def main(typed: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    typed = sys.argv[1:] if typed is None else list(typed)
    parser = arguments.build_parser()
    try:  # before the parser is built anew: its help texts name the rows of the tables
        chosen = arguments.parts(parser, typed)
        for part in chosen:
            parser.place = part.place
            plugins.load(arguments.plugin_files(part))
    except ValueError as error:
        parser.error(str(error))
    parser = arguments.build_parser()
    parts = []
    for part in chosen:
        parser.place = part.place
        options = parser.parse_args(part.words)
        if options.list is not None:
            print(listing(options.list))
            return 0
        try:
            parts.append(Part(arguments.select(options), options))
        except ValueError as error:
            parser.error(str(error))
    parser.place = ""
    try:
        return run(parser, parts, chosen, typed)
    finally:
        if parts[0].options.ray is not None and "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # leaves the cluster; one that was started for this command ends


def run(parser: argparse.ArgumentParser, parts: Sequence[Part], chosen: Sequence[studies.Part], typed: Sequence[str]) -> int:
    """Plan, run the plan and say how it went; returns the exit status."""
    options = parts[0].options
    try:
        _check_shared(parts, chosen)
        prepare(parts)
        for part in parts:
            part.make_plan()
        if options.write_study is not None:
            place = Path(options.write_study).expanduser()
            studies.write(place, [part.words for part in chosen], parts[0].selection.backend, plugins.loaded())
    except (ValueError, StoreError, ModuleNotFoundError) as error:
        parser.error(str(error))
    context = parts[0].context
    scales = ", ".join(dict.fromkeys(part.selection.scale for part in parts))
    print(f"Backend {context.backend} on {context.device}, scale {scales}, records in {context.store.path}")
    for number, part in enumerate(parts, start=1):
        if len(parts) > 1:
            print(f"Selection {number} of {len(parts)}:")
        print(part.describe(), flush=True)
    nothing_can_run = all(cell.state == "impossible" for part in parts for cell in part.cells)
    if options.plan:
        return 1 if nothing_can_run else 0
    outcome = runner.Run()
    try:
        for number, part in enumerate(parts):
            if number:  # what selections share is finished now
                part.make_plan(outcome.records)
            ended = part.run()
            outcome.records += ended.records
            outcome.elsewhere += ended.elsewhere
            if ended.interrupted:
                outcome.interrupted = True
                break
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    status = finish(parts, outcome, typed)
    return 1 if nothing_can_run and status == 0 else status


def _check_shared(parts: Sequence[Part], chosen: Sequence[studies.Part]) -> None:
    for name in _SHARED:
        for part, source in zip(parts, chosen, strict=True):
            if getattr(part.options, name) != getattr(parts[0].options, name):
                flag = name.replace("_", "-")
                raise ValueError(
                    f"{source.place}: {flag} {getattr(part.options, name)!r} is another than that of the first selection, "
                    f"{getattr(parts[0].options, name)!r}; a study is one command: write it once, above the selections"
                )


def finish(parts: Sequence[Part], outcome: runner.Run, typed: Sequence[str]) -> int:
    """Feed MLflow, say how it went and how to continue; returns the exit status."""
    from results.tracking import send

    context = parts[0].context
    mine = {record.key for record in outcome.records}
    finished = {cell.record.key: cell.record for part in parts for cell in part.cells if cell.record is not None}
    earlier = [record for key, record in finished.items() if key not in mine]
    sweeps = [part.sweep for part in parts if part.sweep is not None]
    for sweep in sweeps:
        print(sweep_run.summary(sweep, context))
    if not parts[0].options.no_mlflow:
        print(send.send([*earlier, *outcome.records], context.store, [sweep.name for sweep in sweeps]))
    counts = Counter(record.status for record in outcome.records)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing to run"
    elsewhere = f"{len(outcome.elsewhere)} were run by other commands meanwhile; " if outcome.elsewhere else ""
    print(f"{summary}; {elsewhere}{len(earlier)} were finished before. Records: {context.store.path / 'records'}")
    if outcome.interrupted:
        command = shlex.join(["python", "-m", "suites", *typed])
        print(f"Interrupted. Finished cells are kept; the same command continues with the others: {command}")
        return 130
    every = [*outcome.records, *outcome.elsewhere]
    return 1 if any(record.status in runner.TROUBLE for record in every) else 0


if __name__ == "__main__":
    command_line.run(main)
