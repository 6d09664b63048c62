"""`python -m results compare|gate|report|sync|ui|remove`: what to do with the records of a store."""

import argparse
import gc
import sys
import warnings
from pathlib import Path

from results import command_line, selection
from results.records.record import Record, newest
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
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            return parsed.run(parsed)
        except (StoreError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog="python -m results", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="compare|gate|report|sync|ui|remove")

    every = commands.add_parser("compare", help="tables of methods, frameworks, errors and timings")
    selection.add_arguments(every)
    every.add_argument("--metric", default="test/accuracy", help="metric of the table of methods (default: %(default)s)")
    every.add_argument("--baseline", metavar="METHOD", help="method to compare the others with (default: kd, else sft)")
    every.add_argument("--format", choices=("markdown", "csv", "html", "latex"), help="(default: the output's suffix)")
    every.add_argument("--output", metavar="FILE", help="write to this file (.md, .csv, .html, .tex), or CSV to this folder")
    every.set_defaults(run=_compare)

    judge = commands.add_parser("gate", help="hold the records against the baselines; exit 1 on regressed or missing")
    selection.add_arguments(judge)
    judge.add_argument("--seeds", type=command_line.whole_number, help="judge only the first so many seeds of the baselines")
    judge.add_argument("--baselines", type=Path, help="folder of the baselines (default: the committed ones)")
    judge.add_argument("--markdown", metavar="FILE", help="write the summary to this file too")
    judge.add_argument("--junit", metavar="FILE", help="write JUnit XML to this file")
    judge.add_argument("--update", action="store_true", help="record the store's figures as the new baselines")
    judge.add_argument("--reason", default="", help="why the baselines change; required with --update")
    judge.add_argument("--replace", action="store_true", help="with --update: drop entries that the store has no record of")
    judge.add_argument("--time", action="store_true", help="judge (with --update: record) times of the loss as well")
    judge.add_argument(
        "--other-seeds",
        type=_seeds,
        metavar="FIRST:END",
        help="compare the means of these seeds (10:20 is 10 to 19) with the recorded means; sees much less",
    )
    judge.add_argument("--simulate", action="store_true", help="print how often the test of accuracy is wrong, and stop")
    judge.add_argument(
        "--repeated",
        action="store_true",
        help="gate every run of other seeds in the store for itself, print how they came out, and stop",
    )
    judge.set_defaults(run=_gate)

    write = commands.add_parser("report", help="all findings, tables and figures as one page and one Markdown file")
    selection.add_arguments(write)
    write.add_argument("--metric", default="test/accuracy", help="as in compare (default: %(default)s)")
    write.add_argument("--output", metavar="FOLDER", type=Path, help="where to write (default: report in the store)")
    write.set_defaults(run=_report)

    commands_of_tracking.add_arguments(commands)
    return parser


def _seeds(text: str) -> range:
    first, sign, end = text.partition(":")
    if not (sign and first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; write FIRST:END, such as 10:20 for 10 to 19")
    return range(int(first), int(end))


def _records(parsed: argparse.Namespace, where: dict[str, set[str]]) -> tuple[Store, list[Record]]:
    store = Store(parsed.store)
    # All records are kept to the end: looking through them for garbage again and again takes a third of the reading.
    gc.disable()
    try:
        records = store.records()
    finally:
        gc.enable()
    gc.freeze()
    return store, selection.select(newest(records), where)


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


def _backends(folder: Path) -> str:
    from results.gate import baselines

    return ", ".join(dict.fromkeys(f"{file.suite} {file.backend}" for file in baselines.read_all(folder)))


def _compare(parsed: argparse.Namespace) -> int:
    from results.tables import every, table
    from results.tracking import send

    where = selection.parse(parsed)
    form = table.format_of(parsed.output, parsed.format)
    store, records = _records(parsed, where)
    if not records:
        status = _say_empty(store, where)
        return status if where else 0  # a new store is no failure; a selection that fits nothing is one
    known = sorted({name for record in records for name in record.metrics if record.suite == "distill"})
    if known and parsed.metric not in known:
        raise ValueError(f"--metric {parsed.metric!r}: no record has it; there are {', '.join(known)}.")
    shown = every.tables(records, parsed.metric, parsed.baseline)
    print(table.FORMATS["markdown" if parsed.output else form][0](shown))
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

        store, records = _records(parsed, where)
        if not records:
            status = _say_empty(store, where)
            if where:
                return status
            print("The page holds what is known without any: claims and published figures.", file=sys.stderr)
        markdown, page, claims = write.write(records, parsed.metric, parsed.output or store.path / "report", helper)
    print(claims)
    print(f"Report: {page}\nas Markdown: {markdown}")
    return 0


def _gate(parsed: argparse.Namespace) -> int:
    from results.gate import baselines, judge, verdicts
    from results.grouping import counts

    where = selection.parse(parsed)
    folder = parsed.baselines or baselines.FOLDER
    if (parsed.reason or parsed.replace) and not parsed.update:
        raise ValueError("--reason and --replace go with --update; add it, or leave them out.")
    if parsed.simulate:
        from results.gate import simulation

        print(simulation.table(_limited(baselines.read_all(folder), where, parsed.seeds)).to_markdown())
        return 0
    store, records = _records(parsed, where)
    # Traces and repeats are compared between frameworks and with each other, not with a baseline.
    records = [record for record in records if counts(record)]
    records = [record for record in records if parsed.time or record.suite != "loss"]
    if parsed.update:
        return _update(parsed, records, folder) if records else _say_empty(store, where)
    files = _limited(baselines.read_all(folder), where, parsed.seeds)
    files = [file for file in files if parsed.time or file.suite != "loss"]
    if not any(file.entries for file in files):
        if parsed.where and baselines.read_all(folder):
            raise ValueError(f"None of the baselines in {folder} is one{_condition(where)}; they are of {_backends(folder)}.")
        raise ValueError(
            f"No baselines{f' for {parsed.backend}' if parsed.backend else ''} in {folder}. Run the suites, look at "
            '`python -m results compare`, then record them: `python -m results gate --update --reason "…"`.'
        )
    if not records:
        _say_empty(store, where)
    if parsed.repeated:
        return _repeated(records, files)
    judged = judge.judge(records, files, other_seeds=parsed.other_seeds)
    text = verdicts.to_markdown(judged)
    print(text)
    present = {record.backend for record in records}
    absent = sorted({file.backend for file in files} - present)
    if absent and present:
        print(f"No records of {', '.join(absent)}: `--backend {','.join(sorted(present))}` leaves them out.")
    verdicts.write_summary(text, parsed.markdown)
    if parsed.junit:
        Path(parsed.junit).write_text(verdicts.to_junit(judged), encoding="utf-8")
    return 1 if judge.fails(judged) else 0


def _repeated(records: list[Record], files: list) -> int:
    from results.gate import judge, repeated
    from results.tables import table

    runs = repeated.runs(records, files)
    if not runs:
        raise ValueError(
            "--repeated: the store holds no complete run of students. Run as many other seeds as are recorded, such as "
            "`nox -s torch -- distill --seeds 10:20 --threads 2`."
        )
    print(table.to_markdown(repeated.tables(runs)))
    return 1 if any(judge.fails(run.verdicts) for run in runs) else 0


def _update(parsed: argparse.Namespace, records: list[Record], folder: Path) -> int:
    from results.gate import baselines
    from results.records import environment

    commit = str(environment.capture().get("git_commit", ""))
    print("\n".join(baselines.update(records, parsed.reason, commit, folder, parsed.replace)))
    return 0


def _limited(files: list, where: dict[str, set[str]], seeds: int | None) -> list:
    """The baselines' entries that the selection allows, with their first `seeds` seeds."""
    for file in files:
        # A seed is no field of an entry by seed; which seeds count is said by --seeds.
        fields = {name: values for name, values in where.items() if not (file.by_seed and name.rstrip("!") == "seed")}
        file.entries = [e for e in file.entries if selection.matches(file.suite, file.backend, e.cell, fields)]
        if file.by_seed and seeds is not None:
            for entry in file.entries:
                for metric, by_seed in entry.metrics.items():
                    kept = sorted(by_seed, key=lambda seed: (len(seed), seed))[:seeds]
                    entry.metrics[metric] = {seed: by_seed[seed] for seed in kept}
    return files


if __name__ == "__main__":
    command_line.run(main)
