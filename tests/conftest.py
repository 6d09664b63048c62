"""One framework per test process: `ABKD_TEST_BACKEND` names it; without it only framework-free tests run.

Shared tests of the backends (`test_backend_*.py`, or any test that uses the fixture `backend`) run once per backend;
`test_torch_*.py` and the like belong to one.
"""

import os
import re

import pytest

import backends

CHOSEN = os.environ.get("ABKD_TEST_BACKEND")
if CHOSEN is not None and CHOSEN not in backends.BACKENDS:
    raise pytest.UsageError(f"ABKD_TEST_BACKEND={CHOSEN!r} is not known; choose one of {', '.join(backends.BACKENDS)}")


def _owner(name: str) -> str | None:
    """The backend that a test file belongs to, "backend" for all of them, None for a framework-free file."""
    match = re.match(rf"test_({'|'.join(backends.BACKENDS)}|backend)_", name)
    return match[1] if match else None


def pytest_ignore_collect(collection_path, config):
    """Leave out the files whose framework this process must not import."""
    owner = _owner(collection_path.name)
    return True if owner is not None and (CHOSEN is None or owner not in ("backend", CHOSEN)) else None


def pytest_collection_modifyitems(config, items):
    """Framework-free tests run in the process without a backend, the others in each backend's process."""

    def needs_backend(item) -> bool:
        return "backend" in getattr(item, "fixturenames", ()) or _owner(item.path.name) is not None

    items[:] = [item for item in items if needs_backend(item) == (CHOSEN is not None)]


@pytest.fixture(scope="session", autouse=CHOSEN is not None)
def harness_set_up():
    """Before any test: a framework that has computed something takes no other number of threads."""
    harness = backends.load(CHOSEN)
    harness.set_up(threads=1, device="cpu")  # threads that wait for each other suffer most on a busy machine
    return harness


@pytest.fixture(scope="session")
def backend(harness_set_up):
    """The chosen backend's harness module, set up as the suites set it up."""
    return harness_set_up
