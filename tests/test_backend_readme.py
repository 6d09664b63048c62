"""README's examples of own models and own loops run as they stand."""

import re
from pathlib import Path

import pytest
from conftest import CHOSEN

BLOCKS = re.findall(r"^```python\n(.*?)^```", (Path(__file__).parent.parent / "README.md").read_text(), re.M | re.S)


@pytest.mark.filterwarnings("ignore")
def test_readme_example_of_this_backend():
    blocks = [block for block in BLOCKS if f"from backends.{CHOSEN} import" in block]
    assert len(blocks) == 1
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["result"].status == "ok"
    assert names["result"].epoch_losses[-1] < names["result"].epoch_losses[0]
    assert float(names["loss"]) > 0
