"""The examples of CONTRIBUTING.md; that of a divergence is put where the page says that it goes."""

import importlib
import re
from pathlib import Path
from types import ModuleType

from reference import catalogue
from reference.exact import catalogue as exact_catalogue

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAME = "triangular_discrimination"


def blocks() -> dict[str, str]:
    """The page's code by the paragraph that introduces it: "definition", "row", and the backends."""
    section = TEXT[TEXT.index("## Add a divergence") :]
    found = re.findall(
        r"^(?:\*\*The (definition|row)|(PyTorch|JAX|TensorFlow)[:,]).*?^```python\n(.*?)^```", section, re.M | re.S
    )
    names = {"PyTorch": "torch", "JAX": "jax", "TensorFlow": "tensorflow"}
    return {names.get(framework, part): code for part, framework, code in found}


def code_of(section: str) -> list[str]:
    """The code of the section "Add …", block by block."""
    text = TEXT[TEXT.index(f"## Add {section}\n") :].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def add_to(module: ModuleType, code: str) -> None:
    """Run code as if it stood at the end of a module."""
    exec(compile(code, "CONTRIBUTING.md", "exec"), vars(module))


def add_to_reference(monkeypatch) -> catalogue.Divergence:
    """Add the definition and the row, until the test ends."""
    code = blocks()
    monkeypatch.setattr(exact_catalogue, NAME, None, raising=False)
    add_to(exact_catalogue, code["definition"])
    row = eval(compile(code["row"], "CONTRIBUTING.md", "eval"), vars(catalogue))
    monkeypatch.setitem(catalogue.DIVERGENCES, row.name, row)
    return row


def add_to_backend(name: str) -> None:
    """Add the function to a backend, which then has a divergence of this name."""
    add_to(importlib.import_module(f"backends.{name}.losses.catalogue"), blocks()[name])
    for module in ("losses", "divergences"):
        importlib.reload(importlib.import_module(f"backends.{name}.{module}"))
