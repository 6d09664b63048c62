"""What there is to run: `nox -l` lists it. Arguments behind `--` are passed on, e.g. `nox -s torch -- distill --plan`.

The sessions share a few environments under .nox/, made when first needed: one for each backend (no process ever imports
two frameworks), `results` without a framework, and `lint`. They hold the packages of pyproject.toml's dependency groups,
not the project itself, which runs from this clone. An environment that is no longer whole is made anew.
"""

import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).resolve().parent / ".ci"))
from environments import CLONE, run

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["torch"]

BACKENDS = ("torch", "jax", "tensorflow")
RAY_TESTS = CLONE / "tests" / "test_suites_ray.py"
# as many processes as there are cores, up to four: a framework's tests take a gigabyte each; `-- -n 0` for one alone
PYTEST = ("-m", "pytest", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")


def suites(backend: str):
    """The session that runs one backend's suites."""

    @nox.session(name=backend)
    def suite(session: nox.Session) -> None:
        run(session, backend, "-m", "suites", "--backend", backend, *session.posargs)

    suite.__doc__ = f"Agreement, loss and distillation suites of the {backend} backend."
    return suite


def backend_tests(backend: str):
    """The session that tests one backend."""

    @nox.session(name=f"tests-{backend}")
    def test(session: nox.Session) -> None:
        peers = ("peers",) if backend == "torch" else ()  # transformers is PyTorch's
        run(session, backend, *PYTEST, *session.posargs, add=peers, env={"ABKD_TEST_BACKEND": backend})

    test.__doc__ = f"Tests of the {backend} backend."
    return test


for name in BACKENDS:
    globals()[name], globals()[f"tests_{name}"] = suites(name), backend_tests(name)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests: those without a framework, on a Ray cluster, then each backend's."""
    for part in ("tests-shared", "tests-ray", *(f"tests-{name}" for name in BACKENDS)):
        session.notify(part, session.posargs)


@nox.session(name="tests-shared")
def tests_shared(session: nox.Session) -> None:
    """Tests of the reference, the records and the suites, without a framework."""
    apart = ("--ignore", str(RAY_TESTS))  # a cluster of its own wants the cores for itself
    run(session, "results", *PYTEST, *apart, *session.posargs, env={"ABKD_TEST_BACKEND": None})


@nox.session(name="tests-ray")
def tests_ray(session: nox.Session) -> None:
    """A sweep on a Ray cluster of two local nodes, of which one is killed; installs Ray for it."""
    arguments = ("-m", "pytest", str(RAY_TESTS), *session.posargs)
    run(session, "results", *arguments, add=("ray",), env={"ABKD_TEST_BACKEND": None})


@nox.session(name="tests-browser")
def tests_browser(session: nox.Session) -> None:
    """The MLflow UI in headless Chromium, where the system has one; not part of `tests`."""
    arguments = ("-m", "pytest", str(CLONE / "tests" / "test_results_browser.py"), *session.posargs)
    run(session, "results", *arguments, add=("browser",), env={"ABKD_TEST_BACKEND": None})


def results(command: str, text: str):
    """The session that runs one command on the records of the store."""

    @nox.session(name=command)
    def on_records(session: nox.Session) -> None:
        run(session, "results", "-m", "results", command, *session.posargs)

    on_records.__doc__ = text
    return on_records


compare = results("compare", "One table: methods × backends, mean ± standard error over seeds.")
report = results("report", "Claims, agreement and comparison as one Markdown file and one page for a browser.")
gate = results("gate", "Check results against results/baselines/; exits 1 where something got worse.")
sync = results("sync", "Send records to MLflow that it does not have yet.")
ui = results("ui", "Open the MLflow UI on this machine only.")


@nox.session
def data(session: nox.Session) -> None:
    """Data sets: `list` which are there and how to get the others, `fetch NAME`, `path`."""
    run(session, "results", "-m", "suites.datasets", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    run(session, "lint", "-m", "ruff", "check", *session.posargs, str(CLONE))
    run(session, "lint", "-m", "ruff", "format", "--check", str(CLONE))
