"""The command line: `python -m suites.datasets list`, `fetch NAME` or `path`, also as `nox -s data -- …`.

Exit status: 0 done, 1 the data set cannot be had or is damaged, 2 the command is not usable.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from results import command_line
from suites.columns import columns
from suites.datasets import TABLE
from suites.datasets.dataset import THERE, Dataset, DatasetError
from suites.datasets.places import data_folder


def build_parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    parser = command_line.Parser(prog="python -m suites.datasets", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="list | fetch | path")
    commands.add_parser("list", help="which data sets are there, and how to get the others (the default)")
    fetch = commands.add_parser("fetch", help="download a data set, check it and unpack it")
    fetch.add_argument("name", help=", ".join(name for name, row in TABLE.items() if row.fetch))
    fetch.add_argument("--url", help="another address of the same file; the checksum stays the official one")
    commands.add_parser("path", help="print the folder of the data sets")
    return parser


def listing(folder: Path) -> str:
    """The table of data sets as text: name, task, loader, whether it is there; then how to get what is not there."""
    rows = [("data set", "name", "task", "loader", "state")]
    to_get = []
    for row in TABLE.values():
        found = row.presence(folder)
        rows.append((row.title, row.name, row.task, "yes" if row.load else "not yet", found.state))
        if found.state != THERE:
            to_get.append(f"{row.name}: {found.state} ({found.detail})\n    {row.get}")
    head = f"Data folder: {folder} (ABKD_DATA names another one)\n"
    return "\n".join([head, *columns(rows), *(["", "How to get what is not there:", *to_get] if to_get else [])])


def fetch(row: Dataset, folder: Path, url: str | None) -> str:
    """Fetch a data set unless it is there, read it with all checks, and say what there is.

    Raises:
        DatasetError: it cannot be had, or is damaged.
    """
    there = row.presence(folder).state == THERE
    if not there:
        row.fetch(folder, url, sys.stderr.isatty())
    data = row.load("paper", None)
    word = "was there already" if there else "is there now"
    counts = ", ".join(f"{count:,} {name}" for name, count in data.described().items())
    return f"{row.title} {word}, in {folder}: {counts}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    folder = data_folder()
    if options.command == "path":
        print(folder)
    elif options.command == "fetch":
        row = TABLE.get(options.name)
        if row is None or row.fetch is None:
            able = ", ".join(name for name, entry in TABLE.items() if entry.fetch)
            how = f"it cannot be fetched by this command: {row.get}" if row else "it is not known"
            parser.error(f"fetch {options.name!r}: {how}. Data sets that can be fetched: {able}")
        try:
            print(fetch(row, folder, options.url))
        except DatasetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    else:
        print(listing(folder))
    return 0


if __name__ == "__main__":
    command_line.run(main)
