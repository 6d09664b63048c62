"""Versions of a record's layout, and how a record of an older one is read.

A file on disk is left as it is: an older checkout may read the same store. Each migration takes the fields of one
version to those of the next.
"""

from collections.abc import Callable
from typing import Any

# 1: the first; 2: `artifacts`, the files that belong to a record. A new status is no new version: an older checkout
# skips the records that have it, with a warning that names it, and reads all others.
VERSION = 2

Fields = dict[str, Any]


class RecordError(ValueError):
    """A file or a dictionary is not a record that this version can read."""


def _files_of_their_own(fields: Fields) -> Fields:
    return {**fields, "artifacts": {}}


# version to the function that makes the next one of it
MIGRATIONS: dict[int, Callable[[Fields], Fields]] = {1: _files_of_their_own}


def upgrade(fields: Fields) -> Fields:
    """The fields of a record of any known version, in the layout of VERSION.

    Raises:
        RecordError: no version, or one that this code does not know; a newer one says what to do.
    """
    version = fields.get("schema")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise RecordError(f"not a record (schema={version!r}; versions 1 to {VERSION} are known)")
    if version > VERSION:
        raise RecordError(
            f"schema {version} is newer than this version of the project reads (1 to {VERSION}); update the project"
        )
    for step in range(version, VERSION):
        fields = {**MIGRATIONS[step](fields), "schema": step + 1}
    return fields
