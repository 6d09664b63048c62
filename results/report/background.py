"""A second process for the report: it checks the claims, which need no records, and draws figures that need few.

This module imports next to nothing, so that the process starts before the first one loads its libraries.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reference import claims


class Background:
    """A second process that checks the claims from the moment it is there, and draws figures after that."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._drawn: list[Future[Path]] = []
        self._findings: Future[list[claims.Finding]] = pool.submit(_check)

    def draw(self, path: Path, function: Callable[..., Figure], *arguments: Any) -> Path:
        """Begin to draw a figure and to save it.

        Args:
            path: of the file, which is there after `wait`.
            function: at the top of a module, as it travels by its name; returns the figure.
            *arguments: of the function; they travel as well, so they should be small.
        """
        self._drawn.append(self._pool.submit(_save, function, arguments, path))
        return path

    def wait(self) -> None:
        """Wait for all figures that were begun.

        Raises:
            OSError: one could not be saved.
        """
        for drawn in self._drawn:
            drawn.result()

    def checked(self) -> list[tuple[claims.Claim, claims.Finding]]:
        """The claims with their findings."""
        from reference import claims

        return list(zip(claims.CLAIMS.values(), self._findings.result(), strict=True))


@contextlib.contextmanager
def background() -> Iterator[Background]:
    """Start the second process; it ends with the block."""
    # "spawn": a copy of a process with threads (NumPy's) may hang, and the other systems know nothing else.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Background(pool)


def _check() -> list[claims.Finding]:
    """What the second process does first. Findings only: the checks of claims need not travel."""
    from results.report import claims_cache

    return claims_cache.findings()


def _save(function: Callable[..., Figure], arguments: tuple[Any, ...], path: Path) -> Path:
    from results.figures import style

    return style.save(function(*arguments), path)
