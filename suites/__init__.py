"""What is measured, and how: agreement with the reference, speed of the loss, distillation of students.

`python -m suites` runs them for one backend. Nothing here imports a framework; a backend comes from `backends.load`.
"""

import importlib.util
import sys

# packages that the commands import as they begin
NEEDED = ("numpy", "mpmath", "scipy", "pandas", "pyarrow", "platformdirs", "tqdm")


def _check_packages() -> None:
    """End a command whose Python lacks a package of the harness in one sentence."""
    missing = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
    if missing is not None:
        print(
            f"error: the package {missing!r} is not installed in {sys.executable}: `nox -s torch` (or jax, tensorflow) makes "
            "an environment with everything; by hand python -m pip install --group harness in the clone",
            file=sys.stderr,
        )
        sys.exit(2)


if sys.argv[:1] == ["-m"]:  # Python looks for the module that it is to run: what that imports it has not imported yet
    _check_packages()
