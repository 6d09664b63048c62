"""Run a sweep: teachers, then the first seed of every setting, then the other seeds of those that were not stopped."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TextIO

from results import metrics
from results.figures import heat_maps, style
from results.records import sweep_notes
from results.tables import sweeps
from suites import datasets, registry, tasks
from suites.distill.cells import TEACHER, resolve
from suites.plan import FINISHED, PlannedCell
from suites.running import runner, workers
from suites.running.measuring import Ended, measure, not_run
from suites.running.progress import Progress
from suites.running.sharing import Sharing
from suites.suite import Context, Stop, never
from suites.sweep import stopping
from suites.sweep.plan import SweepPlan, counts, setting, values_in_words
from suites.sweep.stopping import Rules, Wait

# (cells, rules of early stopping, context, progress) → each cell with how it ended, as they end
Execute = Callable[[list[PlannedCell], Rules | None, Context, Progress], Iterable[tuple[PlannedCell, Ended]]]


def run_plan(sweep: SweepPlan, context: Context, execute: Execute, output: TextIO | None = None) -> runner.Run:
    """Run what a sweep's plan has left.

    Args:
        sweep: the plan.
        context: what the cells share.
        execute: what runs cells: `on_this_machine`, or a cluster.
        output: where lines go; None for the screen.
    """
    if sweep.sweep.early_stop is not None:
        try:
            sweep = _alone(sweep, context, output)
        except KeyboardInterrupt:
            return runner.Run(interrupted=True)
    searched = {"search": f"{sweep.name}, {sweep.sweep.sampler}"} | {
        name: values_in_words(values) for name, values in sweep.varying.items()
    }
    sweep_notes.write(context.store, sweep.name, [planned.key for planned in sweep.cells], searched)

    def in_order(waiting: list[PlannedCell], context: Context, progress: Progress) -> Iterator[tuple[PlannedCell, Ended]]:
        for planned, ended in _ended(sweep, waiting, context, execute, progress):
            if ended.outcome.status == "pruned":
                done = len(_scores(planned, ended.outcome.curves))
                ended.outcome.details["pruned"] = {"sweep": sweep.name, "epochs": done}
            yield planned, ended

    return runner.run_plan(sweep.cells, context, in_order, output, invocation=sweep.name)


def _alone(sweep: SweepPlan, context: Context, output: TextIO | None) -> SweepPlan:
    """The sweep with all of its cells claimed, since settings that compete are judged by one command alone.

    What other commands have finished until then is finished here too.
    """
    waiting = [planned for planned in sweep.cells if planned.state == "run"]
    progress = Progress(0, output or sys.stdout)
    Sharing(waiting, context, progress).hold_all()
    progress.close()
    return replace(sweep, cells=[_as_it_is_now(planned, sweep.name, context) for planned in sweep.cells])


def _as_it_is_now(planned: PlannedCell, sweep: str, context: Context) -> PlannedCell:
    record = context.store.get(planned.suite.name, planned.key) if planned.state == "run" else None
    new = record is not None and record.finished != planned.seen and counts(record, sweep)
    finished = new and planned.suite.has_products(record, context)
    return replace(planned, state="finished", record=record) if finished else planned


def summary(sweep: SweepPlan, context: Context) -> str:
    """The best setting of all that has finished, with its uncertainty; and where the map over (α, β) is."""
    keys = {planned.key for planned in sweep.cells}
    records = [record for record in context.store.records(suite=sweep_notes.SUITE) if record.key in keys]
    findings = sweeps.findings(records, least=2)
    if not findings:
        return "No setting has finished yet."
    lines = [finding.table().to_markdown() for finding in findings]
    figure = heat_maps.alpha_beta(records)
    if figure is not None:
        path = context.store.invocation_dir(sweep_notes.SUITE, sweep.name) / "alpha_beta.png"
        lines.append(f"Map over (α, β): {style.save(figure, path)}\n")
    return "\n".join(lines)


def _ended(
    sweep: SweepPlan, waiting: list[PlannedCell], context: Context, execute: Execute, progress: Progress
) -> Iterator[tuple[PlannedCell, Ended]]:
    """Each cell that was not finished, as it ends."""
    for planned in waiting:
        if planned.state == "impossible":
            yield planned, not_run(planned.status, planned.reason)
    waiting = [planned for planned in waiting if planned.state == "run"]
    yield from execute([planned for planned in waiting if planned.cell.method == TEACHER], None, context, progress)
    students = [planned for planned in waiting if planned.cell.method != TEACHER]
    if sweep.sweep.early_stop is None:
        yield from execute(students, None, context, progress)
        return
    first = min(planned.cell.seed for planned in sweep.students)
    firsts = [planned for planned in sweep.students if planned.cell.seed == first]
    rules = _rules(firsts, sweep.sweep.early_stop, context)
    stopped = {setting(planned.cell) for planned in firsts if planned.record is not None and planned.record.status == "pruned"}
    for planned, ended in execute([planned for planned in students if planned.cell.seed == first], rules, context, progress):
        if ended.outcome.status == "pruned":
            stopped.add(setting(planned.cell))
        yield planned, ended
    rest = [planned for planned in students if planned.cell.seed != first]
    for planned in rest:
        if setting(planned.cell) in stopped:
            progress.begin(planned.label)
            yield planned, not_run("pruned", f"not run: its setting was stopped early with seed {first}")
    yield from execute([planned for planned in rest if setting(planned.cell) not in stopped], None, context, progress)


def _rules(firsts: list[PlannedCell], factor: int, context: Context) -> Rules:
    """Who competes with whom, with the curves of those that have been trained to the end or were stopped before."""
    groups: dict[tuple[Any, ...], tuple[int, list[str]]] = {}
    known = {}
    for planned in firsts:
        cell = planned.cell
        epochs = resolve(cell, context).recipe.training["epochs"]
        group = (cell.dataset, cell.pair, cell.dtype, cell.precision, epochs)
        groups.setdefault(group, (epochs, []))[1].append(planned.key)
        # a student may be finished and run again all the same, for its weights to be kept
        record = planned.record or context.store.get(planned.suite.name, planned.key)
        if planned.state == "impossible":
            known[planned.key] = []
        elif record is not None and (planned.record is not None or record.status in FINISHED):
            known[planned.key] = _scores(planned, record.curves)
    return Rules(list(groups.values()), factor, known)


def _scores(planned: PlannedCell, curves: Mapping[str, list[float]]) -> list[float]:
    """The metric that judges the cell's task, after each epoch, larger being better."""
    judged_by = tasks.get(datasets.get(planned.cell.dataset).task).judged_by
    sign = metrics.find(judged_by).sign
    return [sign * value for value in curves.get(judged_by, ())]


def on_this_machine(
    items: list[PlannedCell], rules: Rules | None, context: Context, progress: Progress
) -> Iterator[tuple[PlannedCell, Ended]]:
    """Processes of this machine; this one alone where that is all there is room for."""
    done: set[str] = set()
    if context.workers > 1 and len(items) > 1:
        progress.begin(f"{len(items)} cells, {context.workers} at a time")
        for planned, ended in _side_by_side(items, rules, context):
            done.add(planned.key)
            yield planned, ended
    judge = None if rules is None else stopping.Judge(rules)
    left = [planned for planned in items if planned.key not in done]
    for planned in left if rules is not None else context.take(left):  # with rules all of them are held
        progress.begin(f"{planned.suite.name} {planned.label}")
        ended = measure(planned.suite, planned.cell, context, _stop_of(planned, rules, judge), progress.share)
        _note_end(planned, ended, rules, judge)
        yield planned, ended


def _side_by_side(items: list[PlannedCell], rules: Rules | None, context: Context) -> Iterator[tuple[PlannedCell, Ended]]:
    if rules is None:
        yield from workers.outcomes(context.take(items), lambda planned: planned.cell, context, registry.measure)
        return
    with stopping.served(rules) as judge:
        ended_cells = workers.outcomes(
            items, lambda planned: planned.cell, context, registry.measure, lambda planned: _stop_of(planned, rules, judge)
        )
        for planned, ended in ended_cells:
            _note_end(planned, ended, rules, judge)
            yield planned, ended


def _stop_of(planned: PlannedCell, rules: Rules | None, judge: stopping.Verdicts | None) -> Stop:
    """What may stop a training; nothing may where it has been finished before."""
    return never if judge is None or planned.key in rules.known else Wait(judge, planned.key)


def _note_end(planned: PlannedCell, ended: Ended, rules: Rules | None, judge: stopping.Verdicts | None) -> None:
    """A training that ended is waited for no more, and a new judge would know its curve."""
    if judge is not None:
        judge.end(planned.key)
        rules.known[planned.key] = _scores(planned, ended.outcome.curves)
