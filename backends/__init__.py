"""The α-β-divergence, its training loss and student training in PyTorch, JAX and TensorFlow.

Import one backend per process: `from backends.torch import ABKDLoss`. The modules in this folder itself are shared by
all three and import no framework.
"""

from importlib import import_module
from types import ModuleType

BACKENDS = ("torch", "jax", "tensorflow")


def load(name: str) -> ModuleType:
    """Import a backend and return its `harness` module, which speaks NumPy.

    Args:
        name: one of `BACKENDS`.

    Raises:
        ValueError: the name is not a backend.
        ModuleNotFoundError: the framework is not installed; the message says how to get it.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend={name!r} is not known; choose one of {', '.join(BACKENDS)}")
    try:
        return import_module(f".{name}.harness", __name__)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == __name__.split(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"backend {name!r} needs the package {error.name!r}, which is not installed: run `nox -s {name}`, "
            f"or install this project with its extra: pip install '.[{name}]'",
            name=error.name,
        ) from error
