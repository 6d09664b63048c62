"""The examples of README and docs/losses.md run as they stand; `abkd` is the name under which `backends` is installed."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOSEN

from reference.catalogue import DIVERGENCES

ROOT = Path(__file__).parent.parent
README, LOSSES = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/losses.md"))


def blocks(text: str) -> list[str]:
    """Python examples of a page, with the name that the package has in the clone."""
    examples = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    return [re.sub(r"\babkd\.(torch|jax|tensorflow)\b", r"backends.\1", block) for block in examples]


@pytest.mark.filterwarnings("ignore")
def test_readme_example_of_this_backend():
    (block,) = (block for block in blocks(README) if f"from backends.{CHOSEN} import" in block)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["result"].status == "ok"
    assert names["result"].epoch_losses[-1] < names["result"].epoch_losses[0]
    assert float(names["loss"]) > 0


def test_examples_of_the_losses_name_what_every_backend_has(backend):
    """Written for one backend, they name functions that all have."""
    found = re.findall(r"from backends\.torch\.(divergences|objectives) import (.*)", "\n".join(blocks(LOSSES)))
    assert found
    for module, names in found:
        known = importlib.import_module(f"backends.{CHOSEN}.{module}")
        assert all(hasattr(known, name.strip()) for name in names.split(","))


EXAMPLES = [block for block in blocks(LOSSES) if f"from backends.{CHOSEN}" in block]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_example_of_the_losses(block):
    if "transformers" in block:
        pytest.importorskip("transformers")
    names = {}
    exec(compile(block, "losses.md", "exec"), names)
    for name in ("loss", "sequence", "weighted", "finite", "spread"):
        assert name not in names or 0 < float(names[name]) < float("inf"), name
    assert "infinite" not in names or float(names["infinite"]) == float("inf")
    assert "losses" not in names or names["losses"][-1] < names["losses"][0]


@pytest.mark.skipif(CHOSEN != "tensorflow", reason="Keras is TensorFlow's")
def test_examples_for_keras():
    (block,) = (block for block in blocks(LOSSES) if "import keras" in block)
    names = {}
    exec(compile(block, "losses.md", "exec"), names)
    assert names["history"].history["loss"][-1] < names["history"].history["loss"][0]
    assert "sparse_categorical_accuracy" in names["history"].history
    assert all(np.isfinite(names["packed"].history["loss"]))


def test_the_page_of_losses_lists_every_divergence_and_objective(backend):
    listed = set(re.findall(r"`([A-Za-z_]+)`", LOSSES))
    objectives = vars(importlib.import_module(f"backends.{CHOSEN}.objectives"))
    assert set(DIVERGENCES) <= listed
    assert {name for name in objectives if name.endswith("_loss") and not name.startswith("_")} <= listed
