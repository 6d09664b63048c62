"""README's examples of own models and own loops run as they stand."""

import importlib
import re
from pathlib import Path

import pytest
from conftest import CHOSEN

from reference.catalogue import DIVERGENCES

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.filterwarnings("ignore")
def test_readme_example_of_this_backend():
    blocks = [block for block in BLOCKS if f"from backends.{CHOSEN} import" in block]
    assert len(blocks) == 1
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["result"].status == "ok"
    assert names["result"].epoch_losses[-1] < names["result"].epoch_losses[0]
    assert float(names["loss"]) > 0


def test_readme_example_of_the_catalogue(backend):
    """Written for one backend, it names functions that every backend has."""
    (block,) = [block for block in BLOCKS if "from backends.torch.divergences import" in block]
    for module, names in re.findall(r"from backends\.torch\.(divergences|objectives) import (.*)", block):
        known = importlib.import_module(f"backends.{CHOSEN}.{module}")
        assert all(hasattr(known, name.strip()) for name in names.split(","))
    if CHOSEN == "torch":
        names = {}
        exec(compile(block, "README.md", "exec"), names)
        assert float(names["loss"].detach()) > 0 and float(names["sequence"].detach()) > 0
        assert names["student"].grad.abs().max() > 0


def test_readme_lists_every_divergence_and_objective(backend):
    listed = set(re.findall(r"`([A-Za-z_]+)`", TEXT))
    objectives = vars(importlib.import_module(f"backends.{CHOSEN}.objectives"))
    assert set(DIVERGENCES) <= listed
    assert {name for name in objectives if name.endswith("_loss") and not name.startswith("_")} <= listed
