"""What there is to run: `nox -l` lists it. Arguments behind `--` are passed on, e.g. `nox -s torch -- distill --plan`."""

import hashlib
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["torch"]

BACKENDS = ("torch", "jax", "tensorflow")
HERE = Path(__file__).parent


def install(session: nox.Session, extras: str, group: str = "") -> None:
    """Install the project with its extras, unless this environment has just that already."""
    request = f"{extras} {group} ".encode() + (HERE / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(request).hexdigest()
    # one environment serves several sessions: it holds a mark for each set of packages
    mark = Path(session.virtualenv.location) / f"installed-{hashlib.sha256(f'{extras} {group}'.encode()).hexdigest()[:8]}"
    if mark.exists() and mark.read_text() == digest:
        return
    groups = ("--group", f"{HERE / 'pyproject.toml'}:{group}") if group else ()
    session.install("--upgrade", "pip>=25.1")  # the first that knows dependency groups
    session.install("--editable", f"{HERE}[{extras}]", *groups)
    mark.write_text(digest)


def suites(backend: str):
    """The session that runs one backend's suites in an environment of its own."""

    @nox.session(name=backend, venv_location=f".nox/{backend}")
    def run(session: nox.Session) -> None:
        install(session, f"{backend},harness,mlflow")
        session.run("python", "-m", "suites", "--backend", backend, *session.posargs)

    run.__doc__ = f"Agreement, loss and distillation suites of the {backend} backend."
    return run


def backend_tests(backend: str):
    """The session that tests one backend, in the environment that its suites use."""

    @nox.session(name=f"tests-{backend}", venv_location=f".nox/{backend}")
    def run(session: nox.Session) -> None:
        install(session, f"{backend},harness,mlflow")
        install(session, f"{backend},harness,mlflow", "test")
        session.run("python", "-m", "pytest", *session.posargs, env={"ABKD_TEST_BACKEND": backend})

    run.__doc__ = f"Tests of the {backend} backend."
    return run


for name in BACKENDS:
    globals()[name], globals()[f"tests_{name}"] = suites(name), backend_tests(name)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All tests: those without a framework, then each backend's."""
    for part in ("tests-shared", *(f"tests-{name}" for name in BACKENDS)):
        session.notify(part, session.posargs)


@nox.session(name="tests-shared", venv_location=".nox/results")
def tests_shared(session: nox.Session) -> None:
    """Tests of the reference, the records and the suites, without a framework."""
    install(session, "harness,mlflow")
    install(session, "harness,mlflow", "test")
    session.run("python", "-m", "pytest", *session.posargs, env={"ABKD_TEST_BACKEND": None})


def results_session(command: str, text: str):
    """A session that reads the store: no framework in its environment."""

    @nox.session(name=command, venv_location=".nox/results")
    def run(session: nox.Session) -> None:
        install(session, "harness,mlflow")
        session.run("python", "-m", "results", command, *session.posargs)

    run.__doc__ = text
    return run


compare = results_session("compare", "One table: methods × backends, mean ± standard error over seeds.")
gate = results_session("gate", "Check results against results/baselines/; exits 1 where something got worse.")
sync = results_session("sync", "Send records to MLflow that it does not have yet.")
ui = results_session("ui", "Open the MLflow UI on this machine only.")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install("--upgrade", "pip>=25.1")
    session.install("--group", f"{HERE / 'pyproject.toml'}:lint")
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")
