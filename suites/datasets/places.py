"""Where data sets lie."""

import os
from pathlib import Path

from results.places import cache_folder


def data_folder() -> Path:
    """The folder of the real data sets, each in its upstream's layout: $ABKD_DATA, or `data` in the user's cache."""
    chosen = os.environ.get("ABKD_DATA")
    return Path(chosen).expanduser().absolute() if chosen else cache_folder() / "data"


def stand_in_folder() -> Path:
    """The folder of the stand-ins that the smoke scale makes from embedded data; safe to delete."""
    return cache_folder() / "stand-in"


def digest_folder() -> Path:
    """The folder of the digests of data files, kept so that no file is read twice for one; safe to delete."""
    return cache_folder() / "digests"
