"""Findings of the claims, kept in the user's cache: they depend on nothing but `reference/` and the libraries under it.

Checking takes seconds, which a report of many records has no room for. `python -m reference.claims` always checks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from results import atomic
from results.places import CLONE, cache_folder

if TYPE_CHECKING:
    from reference import claims

_REFERENCE = CLONE / "reference"


def findings(folder: Path | None = None) -> list[claims.Finding]:
    """What each claim was found to be, in their order; checked where this state of the code has not been yet.

    Args:
        folder: of the cache; None for the user's.
    """
    from reference.claims.claim import Finding

    path = (folder or cache_folder()) / f"claims-{_state()}.json"
    # no cache, or one that cannot be read, only costs the time
    with contextlib.suppress(OSError, ValueError, TypeError):
        return [Finding(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    from reference import claims

    checked = [finding for _, finding in claims.check_all()]
    with contextlib.suppress(OSError):
        atomic.write(path, json.dumps([dataclasses.asdict(finding) for finding in checked]))
    return checked


def _state() -> str:
    """Digest of everything that findings depend on."""
    digest = hashlib.sha256(" ".join([sys.version, version("numpy"), version("mpmath")]).encode())
    for path in sorted(_REFERENCE.rglob("*.py")):
        digest.update(path.relative_to(_REFERENCE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
