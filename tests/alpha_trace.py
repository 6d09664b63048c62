"""Which files of this project hold a number while something runs."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Trace:
    """Files in whose frames a number occurs while the trace is on.

    It occurs where an argument or a local, as a call begins or returns, is the number itself, a dict, tuple or list that
    holds it (up to four of them in each other), or a dataclass that has it, or such a container with it, in a field.

    Args:
        number: what is looked for.
        folder: only files in it are looked at.
        fields: how many dataclasses in each other are opened; a field of the last one must be the number itself where
            `direct`.
        direct: whether containers in fields are left closed.
    """

    def __init__(self, number: float, folder: Path, *, fields: int, direct: bool) -> None:
        self._number, self._folder, self._fields, self._direct = number, f"{folder}/", fields, direct
        self._paths: set[str] = set()

    @property
    def files(self) -> list[str]:
        """Their paths in the clone, sorted."""
        return sorted(Path(path).relative_to(ROOT).as_posix() for path in self._paths)

    def start(self) -> None:
        """Let the trace be on."""
        sys.setprofile(self._look)

    def stop(self) -> None:
        """Let the trace be off."""
        sys.setprofile(None)

    def _look(self, frame: Any, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event in ("call", "return") and path.startswith(self._folder) and path not in self._paths:
            if any(self._holds(value, 4, self._fields) for value in frame.f_locals.values()):
                self._paths.add(path)

    def _holds(self, value: Any, containers: int, fields: int) -> bool:
        if isinstance(value, float):
            return abs(value - self._number) < 1e-12
        if isinstance(value, (dict, tuple, list)):
            inside = list(value.values() if isinstance(value, dict) else value)[:64]
            return containers > 0 and any(self._holds(item, containers - 1, fields) for item in inside)
        if dataclasses.is_dataclass(value) and not isinstance(value, type) and fields:
            inside = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
            return any(self._holds(item, 0 if self._direct else containers, fields - 1) for item in inside)
        return False
