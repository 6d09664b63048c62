"""`python -m results sync|ui|remove`: the commands that keep MLflow and the store in step."""

import argparse
import sys
from collections import Counter

from results import command_line, selection
from results.records import removal
from results.records.record import Record
from results.records.store import Store

# records that are listed by name
_LISTED = 12


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the three to the parsers of commands."""
    sync = commands.add_parser("sync", help="send the records to MLflow that it does not have yet")
    sync.add_argument("--store")
    sync.set_defaults(run=_sync)

    ui = commands.add_parser("ui", help="open the MLflow UI on this machine only")
    ui.add_argument("--store")
    ui.add_argument("--port", type=command_line.whole_number, default=5000)
    ui.set_defaults(run=_ui)

    remove = commands.add_parser("remove", help="say which records a selection would remove, and remove them with --yes")
    selection.add_arguments(remove)
    remove.add_argument("--yes", action="store_true", help="remove them, with their files and their runs in MLflow")
    remove.add_argument("--no-mlflow", action="store_true", help="leave the runs in MLflow")
    remove.set_defaults(run=_remove)


def _sync(parsed: argparse.Namespace) -> int:
    from results.tracking import send

    store = Store(parsed.store)
    if not store.records():
        print(f"No records in {store.path}; there is nothing to send.", file=sys.stderr)
        return 1
    outcome = send.sync(store)
    print(outcome, file=sys.stderr if outcome.problem else sys.stdout)
    return 1 if outcome.problem else 0


def _ui(parsed: argparse.Namespace) -> int:
    from results.tracking import ui

    return ui.serve(Store(parsed.store), parsed.port)


def _remove(parsed: argparse.Namespace) -> int:
    from results.tracking import send

    store, where = Store(parsed.store), selection.parse(parsed)
    if not where:
        raise ValueError(f"remove needs --where or --backend; all of the store is the folder {store.path}: delete that.")
    every = store.records()
    chosen = selection.select(every, where)
    if not chosen:
        known = "; ".join(selection.describe_field(every, name.removesuffix("!")) for name in where) if every else "it is empty"
        print(f"None of the {len(every)} records in {store.path} is one of these: {known}.", file=sys.stderr)
        return 1
    print(_described(store, chosen, every))
    if not parsed.yes:
        runs = "" if parsed.no_mlflow else ", and their runs in MLflow with them"
        print(f"Nothing has been removed. The same command with --yes removes them{runs}.")
        return 0
    if not parsed.no_mlflow:
        outcome = send.remove(chosen, store)
        if outcome.problem:
            print(f"{outcome.problem} Nothing has been removed; --no-mlflow leaves the runs there.", file=sys.stderr)
            return 1
        print(f"MLflow {outcome.uri}: {outcome.sent} runs deleted.")
    removal.remove(store, chosen)
    print(f"{len(chosen)} records removed; a suite that is asked for these cells runs them again.")
    return 0


def _described(store: Store, chosen: list[Record], every: list[Record]) -> str:
    """What would be removed, in words."""
    counts = Counter((record.suite, str(record.status)) for record in chosen)
    lines = [f"{len(chosen)} of {len(every)} records in {store.path}:"]
    lines += [f"  {suite}: {count} {status}" for (suite, status), count in sorted(counts.items())]
    lines += [f"    {record.suite} {record.title}" for record in chosen[:_LISTED]]
    if len(chosen) > _LISTED:
        lines.append(f"    and {len(chosen) - _LISTED} more")
    files = [place for record in chosen for place in removal.files_of(store, record)]
    if files:
        lines.append(f"  with {len(files)} files and folders of theirs, {removal.size(files) / 1e6:.1f} MB")
    teachers = sum((store.path / "weights" / f"{record.key}.safetensors").exists() for record in chosen)
    if teachers:
        lines.append(f"  among them the weights of {teachers} teachers, which are trained again when a student needs them")
    return "\n".join(lines)
