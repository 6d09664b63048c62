"""What there is to run: `nox -l` lists it. Arguments behind `--` are passed on, e.g. `nox -s torch -- distill --plan`.

Four environments serve all sessions, made when first needed under .nox/: one for each backend (no process ever imports
two frameworks) and `results`, without a framework. Delete a folder there to have it made anew.
"""

import hashlib
import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["torch"]

BACKENDS = ("torch", "jax", "tensorflow")
HERE = Path(__file__).parent
RAY_TESTS = HERE / "tests" / "test_suites_ray.py"
# as many processes as there are cores, up to four: a framework's tests take a gigabyte each; `-- -n 0` for one alone
PYTEST = ("-m", "pytest", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")


def environment(session: nox.Session, name: str) -> str:
    """Make the environment `name` unless it is there as pyproject.toml wants it; return its Python."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        session.error(f"Python {sys.version.split()[0]} runs nox; the frameworks have wheels for 3.11 to 3.13 only")
    place = HERE / ".nox" / name
    python = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    mark = place / "installed"
    wanted = hashlib.sha256((HERE / "pyproject.toml").read_bytes() + str(HERE).encode()).hexdigest()
    if not (mark.exists() and mark.read_text() == wanted):
        extras = "harness,mlflow" if name == "results" else f"{name},harness,mlflow"
        # virtualenv comes with nox and brings its own pip: nothing else is asked of the machine
        session.run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(place), external=True)
        session.run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--editable",
            f"{HERE}[{extras}]",
            "--group",
            f"{HERE / 'pyproject.toml'}:test",
            external=True,
        )
        mark.write_text(wanted)
    return python


def suites(backend: str):
    """The session that runs one backend's suites."""

    @nox.session(name=backend)
    def run(session: nox.Session) -> None:
        python = environment(session, backend)
        session.run(python, "-m", "suites", "--backend", backend, *session.posargs, external=True)

    run.__doc__ = f"Agreement, loss and distillation suites of the {backend} backend."
    return run


def backend_tests(backend: str):
    """The session that tests one backend."""

    @nox.session(name=f"tests-{backend}")
    def run(session: nox.Session) -> None:
        python = environment(session, backend)
        session.run(python, *PYTEST, *session.posargs, env={"ABKD_TEST_BACKEND": backend}, external=True)

    run.__doc__ = f"Tests of the {backend} backend."
    return run


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
    python = environment(session, "results")
    apart = ("--ignore", str(RAY_TESTS))  # a cluster of its own wants the cores for itself
    session.run(python, *PYTEST, *apart, *session.posargs, env={"ABKD_TEST_BACKEND": None}, external=True)


@nox.session(name="tests-ray")
def tests_ray(session: nox.Session) -> None:
    """A sweep on a Ray cluster of two local nodes, of which one is killed; installs Ray for it."""
    python = environment(session, "results")
    session.run(
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{HERE}[ray]", external=True
    )
    session.run(python, "-m", "pytest", str(RAY_TESTS), *session.posargs, env={"ABKD_TEST_BACKEND": None}, external=True)


@nox.session(name="tests-browser")
def tests_browser(session: nox.Session) -> None:
    """The MLflow UI in headless Chromium, where the system has one; not part of `tests`."""
    python = environment(session, "results")
    session.run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--group",
        f"{HERE / 'pyproject.toml'}:browser",
        external=True,
    )
    session.run(
        python,
        "-m",
        "pytest",
        str(HERE / "tests" / "test_results_browser.py"),
        *session.posargs,
        env={"ABKD_TEST_BACKEND": None},
        external=True,
    )


def results(command: str, text: str):
    """The session that runs one command on the records of the store."""

    @nox.session(name=command)
    def run(session: nox.Session) -> None:
        python = environment(session, "results")
        session.run(python, "-m", "results", command, *session.posargs, external=True)

    run.__doc__ = text
    return run


compare = results("compare", "One table: methods × backends, mean ± standard error over seeds.")
report = results("report", "Claims, agreement and comparison as one Markdown file and one page for a browser.")
gate = results("gate", "Check results against results/baselines/; exits 1 where something got worse.")
sync = results("sync", "Send records to MLflow that it does not have yet.")
ui = results("ui", "Open the MLflow UI on this machine only.")


@nox.session
def data(session: nox.Session) -> None:
    """Data sets: `list` which are there and how to get the others, `fetch NAME`, `path`."""
    python = environment(session, "results")
    session.run(python, "-m", "suites.datasets", *session.posargs, external=True)


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install("--quiet", "--group", f"{HERE / 'pyproject.toml'}:lint")
    session.run("ruff", "check", *session.posargs, str(HERE))
    session.run("ruff", "format", "--check", str(HERE))
