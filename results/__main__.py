"""`python -m results compare|gate|report|sync|ui|remove`: what to do with the records of a store."""

import argparse
import gc
import reprlib
import sys
import warnings
from pathlib import Path

from results import command_line, selection
from results.escaping import lines
from results.gate import arguments as gate_arguments
from results.grouping import Comparable
from results.records.record import Record
from results.records.store import Store, StoreError
from results.tracking import commands as commands_of_tracking

NO_RECORDS = (
    "No records{where} in {path}. Run a backend's suites first: `nox -s torch` (or jax, tensorflow); "
    "or name another store with --store or ABKD_STORE."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 (regressed, missing, nothing to show), 2 (wrong words)."""
    parsed = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: print(lines(f"warning: {message}"), file=sys.stderr)
        try:
            return parsed.run(parsed)
        except (StoreError, ValueError) as error:
            print(lines(f"error: {error}"), file=sys.stderr)
            return 2


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog="python -m results", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="compare|gate|report|sync|ui|remove")

    every = commands.add_parser("compare", help="tables of methods, frameworks, errors and timings")
    selection.add_arguments(every)
    every.add_argument("--metric", default="test/accuracy", help="metric of the table of methods (default: %(default)s)")
    every.add_argument("--baseline", metavar="METHOD", help="method to compare the others with (default: kd, else sft)")
    every.add_argument("--format", choices=("markdown", "csv", "html", "latex", "tex"), help="(default: the output's suffix)")
    every.add_argument(
        "--output", metavar="FILE", help="write to this file (.md, .csv, .html, .tex), or CSV to this folder, a file a table"
    )
    every.set_defaults(run=_compare)

    judge = commands.add_parser("gate", help="hold the records against the baselines; exit 1 where one is worse or missing")
    selection.add_arguments(judge)
    gate_arguments.add_arguments(judge)
    judge.set_defaults(run=_gate)

    write = commands.add_parser("report", help="all findings, tables and figures as one page and one Markdown file")
    selection.add_arguments(write)
    write.add_argument("--metric", default="test/accuracy", help="as in compare (default: %(default)s)")
    write.add_argument("--output", metavar="FOLDER", type=Path, help="where to write (default: report in the store)")
    write.set_defaults(run=_report)

    commands_of_tracking.add_arguments(commands)
    return parser


def _records(parsed: argparse.Namespace, where: dict[str, set[str]]) -> tuple[Store, list[Record]]:
    """The store, and every record of it that is selected."""
    store, records = _read(parsed)
    return store, selection.select(records, where)


def _comparable(parsed: argparse.Namespace, where: dict[str, set[str]]) -> tuple[Store, list[Record]]:
    """The store, and those of its records that are selected and may stand beside each other."""
    store, records = _read(parsed)
    selected = selection.select(records, where)
    for sentence in selection.unknown_values(records, where) if selected else ():
        print(f"note: {sentence}", file=sys.stderr)
    return store, Comparable.of(selected)


def _read(parsed: argparse.Namespace) -> tuple[Store, list[Record]]:
    store = Store(parsed.store)
    # All records are kept to the end: looking through them for garbage again and again takes a third of the reading.
    gc.disable()
    try:
        records = store.records()
    finally:
        gc.enable()
    gc.freeze()
    return store, records


def _say_empty(store: Store, where: dict[str, set[str]]) -> int:
    """Say that there is nothing to show, and what there is where only the selection leaves it out."""
    there = store.records() if where else []
    if there:
        known = "; ".join(selection.describe_field(there, name.removesuffix("!")) for name in where)
        print(f"None of the {len(there)} records in {store.path} is one{_condition(where)}: {known}.", file=sys.stderr)
    else:
        print(NO_RECORDS.format(where=_condition(where), path=store.path), file=sys.stderr)
    return 1


def _condition(where: dict[str, set[str]]) -> str:
    """ " with backend=torch", or nothing."""
    chosen = ", ".join(f"{name}={'|'.join(sorted(values))}" for name, values in where.items())
    return f" with {chosen}" if chosen else ""


def _compare(parsed: argparse.Namespace) -> int:
    from results.tables import every, table
    from results.tracking import send

    where = selection.parse(parsed)
    form = table.format_of(parsed.output, parsed.format)
    store, records = _comparable(parsed, where)
    if not records:
        status = _say_empty(store, where)
        return status if where else 0  # a new store is no failure; a selection that fits nothing is one
    known = sorted({name for record in records for name in record.metrics if record.suite == "distill"})
    if known and parsed.metric not in known:
        raise ValueError(f"--metric {reprlib.repr(parsed.metric)}: no record has it; there are {', '.join(known)}.")
    shown = every.tables(records, parsed.metric, parsed.baseline)
    print(table.FORMATS["markdown" if parsed.output else form][0](shown).removesuffix("\n"))
    if parsed.output:
        written = table.write(shown, form, parsed.output)
        print(f"Written: {', '.join(str(path) for path in written)}", file=sys.stderr)
    queue = send.describe_queue(store)
    if queue:
        print(queue, file=sys.stderr)
    return 0


def _report(parsed: argparse.Namespace) -> int:
    from results.report import background

    where = selection.parse(parsed)
    with background.background() as helper:
        from results.report import write  # takes its time, in which the other process works already

        store, records = _comparable(parsed, where)
        if not records:
            status = _say_empty(store, where)
            if where:
                return status
            print("The page holds what is known without any: claims and published figures.", file=sys.stderr)
        markdown, page, said = write.write(records, parsed.metric, parsed.output or store.path / "report", helper)
    print(said)
    print(f"Report: {page}\nas Markdown: {markdown}")
    return 0


def _gate(parsed: argparse.Namespace) -> int:
    from results.gate import command as gate

    gate_arguments.check(parsed)
    where = selection.parse(parsed)
    if parsed.simulate:
        return gate.simulate(parsed, where)
    store, records = _records(parsed, where)
    if not records:
        _say_empty(store, where)
    if not parsed.update:
        return gate.judged(parsed, records, where, _condition(where))
    if not records:
        return 1
    from results.records import environment

    return gate.update(parsed, records, str(environment.capture().get("git_commit", "")))


if __name__ == "__main__":
    command_line.run(main)
