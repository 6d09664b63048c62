"""Published PyTorch checkpoints: the forms they come in, and what must not be read."""

import os
import pickle

import numpy as np
import pytest
import torch

from backends.common import networks
from backends.common.weight_files import read_weights
from backends.torch import convert
from backends.torch.models import build_model
from backends.torch.models.weights import load_weights

SPEC = networks.get("resnet8", input_shape=(32, 32, 3), classes=10)


@pytest.fixture
def model():
    network = build_model(SPEC)
    load_weights(network, networks.initial_weights(SPEC, 0))
    return network


def forms(model):
    state = model.state_dict()
    parallel = {f"module.{name}": value for name, value in state.items()}
    return {
        "plain": state,
        "under model, with a NumPy accuracy": {"epoch": 240, "model": state, "best_acc": np.float64(69.06)},
        "under state_dict, parallel": {"state_dict": parallel, "optimizer": {"param_groups": [{"lr": 0.1}]}},
        "without counters": {name: value for name, value in state.items() if "num_batches" not in name},
    }


@pytest.mark.parametrize("form", range(4))
def test_every_form_is_read(model, tmp_path, form):
    torch.save(list(forms(model).values())[form], tmp_path / "in.pth")
    arrays = convert.read_checkpoint(tmp_path / "in.pth", SPEC)
    for name, array in networks.initial_weights(SPEC, 0).items():
        np.testing.assert_array_equal(arrays[name], array.astype("float32"))


def test_the_old_file_format_and_half_precision(model, tmp_path):
    state = {name: value.half() for name, value in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "in.pth", _use_new_zipfile_serialization=False)
    arrays = convert.read_checkpoint(tmp_path / "in.pth", SPEC)
    assert {array.dtype.name for array in arrays.values()} == {"float32"}


def test_the_command_writes_what_every_backend_reads(model, tmp_path, capsys):
    source, target = str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")
    torch.save(model.state_dict(), source)
    assert convert.main([source, target, "--model", "ResNet8", "--classes", "10"]) == 0
    assert "parameters" in capsys.readouterr().out
    load_weights(build_model(SPEC), read_weights(target, SPEC))
    assert convert.main([source, target, "--model", "resnet8"]) == 1
    assert "wrong shape: fc.weight (10, 64) (needs (100, 64))" in capsys.readouterr().err
    assert convert.main([source, target, "--model", "resnet9"]) == 1
    assert "resnet9" in capsys.readouterr().err


class Malicious:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("writer", ["torch", "pickle", "nested"])
def test_code_in_a_checkpoint_is_not_executed(model, tmp_path, writer):
    path, trace = tmp_path / "in.pth", tmp_path / "executed"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Malicious(trace)))
    else:
        content = Malicious(trace) if writer == "torch" else {"model": model.state_dict(), "args": Malicious(trace)}
        torch.save(content, path)
    with pytest.raises(ValueError, match="nothing of it was executed"):
        convert.read_checkpoint(path, SPEC)
    assert not trace.exists()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_files_are_named(model, tmp_path, damage):
    path = tmp_path / "in.pth"
    torch.save(model.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "garbage": b"\x80\x02" + whole[50:90], "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"in\.pth.*damaged"):
        convert.read_checkpoint(path, SPEC)


@pytest.mark.parametrize("content", [[1, 2], {"model": {"fc.weight": 3}}, {"epoch": 1}, {1: torch.ones(2)}])
def test_content_that_is_no_state_dictionary(tmp_path, content):
    torch.save(content, tmp_path / "in.pth")
    with pytest.raises(ValueError, match="no state dictionary"):
        convert.read_checkpoint(tmp_path / "in.pth", SPEC)


def test_names_that_do_not_fit_are_listed_together(model, tmp_path):
    state = dict(model.state_dict())
    state["extra"] = state.pop("fc.bias")
    state["conv1.weight"] = torch.zeros(16, 3, 5, 5)
    torch.save(state, tmp_path / "in.pth")
    with pytest.raises(ValueError, match=r"missing: fc\.bias; not known: extra; wrong shape: conv1\.weight \(16, 3, 5, 5\)"):
        convert.read_checkpoint(tmp_path / "in.pth", SPEC)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        convert.read_checkpoint(tmp_path / "nowhere.pth", SPEC)
