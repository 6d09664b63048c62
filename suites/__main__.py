"""The command line: `python -m suites [agreement] [loss] [distill] [options]`, or `python -m suites sweep [options]`.

Exit status: 0 all cells measured, 1 some were not or were outside their bounds, 2 the command or the store is
not usable, 130 interrupted.
"""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from types import ModuleType

import backends
from results import command_line
from results.records import environment
from results.records.store import Store, StoreError
from suites import arguments, plan, plugins, registry
from suites.running import runner, workers
from suites.selection import Selection
from suites.suite import Context
from suites.sweep import plan as sweep_plan
from suites.sweep import run as sweep_run


def prepare(selection: Selection, options: argparse.Namespace) -> tuple[Context, sweep_run.Execute]:
    """Check the store, load the backend and set it up; what cells share, and what runs those of a sweep.

    Raises:
        results.records.store.StoreError: the store cannot be written.
        ModuleNotFoundError: the framework is not installed.
        ValueError: the device is not there.
    """
    store = Store(options.store)
    store.check_writable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes to itself, between the cells' lines
    harness = backends.load(selection.backend)
    plugins.build_for(selection.backend)
    small = selection.scale == "smoke" or options.ray is not None
    threads = options.threads or (arguments.SMOKE_THREADS if small else None)
    if options.ray is not None:
        setup = workers.Setup(selection.backend, harness.__name__, threads, options.device, None, None, options.keep_students)
        return join_cluster(setup, selection, options, harness, store)
    device = harness.set_up(threads=threads, device=options.device)
    context = Context(
        backend=selection.backend,
        harness=harness,
        store=store,
        device=device,
        workers=options.workers or workers.count(threads, device),
        threads=threads,
        loss_threads=options.threads,
        description=harness.describe(),
        environment=environment.capture(),
        teacher_weights=selection.teacher_weights,
        keep_students=options.keep_students,
        accept_other_code=options.accept_other_code,
        redo=options.redo,
    )
    return context, sweep_run.on_this_machine


def join_cluster(
    setup: workers.Setup, selection: Selection, options: argparse.Namespace, harness: ModuleType, store: Store
) -> tuple[Context, sweep_run.Execute]:
    """Join the cluster; the context is that of its nodes, since this machine may have another device.

    Raises:
        ValueError: the cluster cannot be joined, or no node has room for a cell.
    """
    from suites.sweep import ray_cluster

    share = ray_cluster.Share(float(setup.threads), options.gpus_per_cell or 0.0)
    ray_cluster.connect(options.ray)
    device, description, surroundings = ray_cluster.describe_node(setup, share)
    context = Context(
        backend=selection.backend,
        harness=harness,
        store=store,
        device=device,
        workers=ray_cluster.at_once(share),
        threads=setup.threads,
        description=description,
        environment=surroundings,
        teacher_weights=selection.teacher_weights,
        keep_students=options.keep_students,
        accept_other_code=options.accept_other_code,
        redo=options.redo,
    )
    return context, ray_cluster.Cluster(setup, share)


def main(typed: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    typed = sys.argv[1:] if typed is None else list(typed)
    try:  # before the parser is built: its help texts name the rows of the tables
        plugins.load(arguments.plugin_files(typed))
    except plugins.PluginError as error:
        arguments.build_parser().error(str(error))
    parser = arguments.build_parser()
    options = parser.parse_args(typed)
    try:
        return run(parser, options, typed)
    finally:
        if options.ray is not None and "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # leaves the cluster; one that was started for this command ends


def run(parser: argparse.ArgumentParser, options: argparse.Namespace, typed: Sequence[str]) -> int:
    """Check the options, plan, run the plan and say how it went; returns the exit status."""
    try:
        selection = arguments.select(options)
        context, execute = prepare(selection, options)
    except (ValueError, StoreError, ModuleNotFoundError) as error:
        parser.error(str(error))
    try:
        sweep = None if selection.sweep is None else sweep_plan.make_plan(selection, context)
        planned = plan.make_plan(registry.SUITES, selection, context) if sweep is None else sweep.cells
    except ValueError as error:
        parser.error(str(error))
    print(f"Backend {selection.backend} on {context.device}, scale {selection.scale}, records in {context.store.path}")
    print(plan.describe(planned) if sweep is None else sweep_plan.describe(sweep, context.workers), flush=True)
    if options.plan:
        return 0
    try:
        if sweep is None:
            outcome = runner.run_plan(planned, context, runner.SideBySide(registry.measure))
        else:
            outcome = sweep_run.run_plan(sweep, context, execute)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return finish(planned, sweep, outcome, context, options, typed)


def finish(
    planned: list[plan.PlannedCell],
    sweep: sweep_plan.SweepPlan | None,
    outcome: runner.Run,
    context: Context,
    options: argparse.Namespace,
    typed: Sequence[str],
) -> int:
    """Feed MLflow, say how it went and how to continue; returns the exit status."""
    from results.tracking import send

    earlier = [cell.record for cell in planned if cell.record is not None]
    if sweep is not None:
        print(sweep_run.summary(sweep, context))
    if not options.no_mlflow:
        print(send.send([*earlier, *outcome.records], context.store, [] if sweep is None else [sweep.name]))
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
