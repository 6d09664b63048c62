"""One framework per test process: `ABKD_TEST_BACKEND` names it; without it only framework-free tests are collected.

Shared tests of the backends (`test_backend_*.py`, or anything that uses the fixture `backend`) run once per backend;
`test_torch_*.py` and the like belong to one.
"""

import os
import re

import pytest

import backends

CHOSEN = os.environ.get("ABKD_TEST_BACKEND")
if CHOSEN is not None and CHOSEN not in backends.BACKENDS:
    raise pytest.UsageError(f"ABKD_TEST_BACKEND={CHOSEN!r} is not known; choose one of {', '.join(backends.BACKENDS)}")


def pytest_ignore_collect(collection_path, config):
    """Leave out the tests of frameworks that this process must not import."""
    match = re.match(rf"test_({'|'.join(backends.BACKENDS)}|backend)_", collection_path.name)
    if match is None:
        return True if CHOSEN and collection_path.name.startswith(("test_reference_", "test_results_")) else None
    return match[1] != "backend" and match[1] != CHOSEN or CHOSEN is None or None


def pytest_collection_modifyitems(config, items):
    """Framework-free tests run in the process without a backend, the others in each backend's process."""
    def belongs(item):
        needs_backend = "backend" in getattr(item, "fixturenames", ()) or re.match(rf"test_({CHOSEN}|backend)_", item.path.name)
        return bool(needs_backend) == (CHOSEN is not None)

    items[:] = [item for item in items if belongs(item)]


@pytest.fixture(scope="session")
def backend():
    """The chosen backend's harness module, set up as the suites set it up."""
    harness = backends.load(CHOSEN)
    harness.set_up(threads=2, device="cpu")
    return harness
