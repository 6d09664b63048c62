"""Names and initial weights of the networks, and their files, without a framework."""

import numpy as np
import pytest

from backends.common import networks
from backends.common.weight_files import read_weights, save_weights

SHAPE = (32, 32, 3)
# with 100 classes
COUNTS = {
    "resnet8x4": 1_233_540,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet32x4": 7_433_860,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "WRN-16-2": 703_284,
    "WRN-40-1": 569_780,
    "WRN-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
}
SPEC = networks.get("resnet8", input_shape=SHAPE, classes=10)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name):
    spec = networks.get(name, input_shape=SHAPE, classes=100)
    assert networks.parameter_count(spec) == COUNTS[name]
    assert spec.name in networks.CIFAR_NETWORKS


def test_spellings_mean_one_network():
    specs = {networks.get(name, input_shape=SHAPE, classes=100) for name in ("WRN-40-2", "wrn_40_2", "wrn-40-2")}
    assert len(specs) == 1


@pytest.mark.parametrize(
    "name",
    [
        "resnet",
        "resnet21",
        "resnet2",
        "wrn-40",
        "wrn-39-2",
        "wrn-40-0",
        "vgg11",
        "convnet",
        "convnet-0",
        "convnet-4-x",
        "densenet40",
    ],
)
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match=f"model='{name}'"):
        networks.get(name, input_shape=SHAPE, classes=100)


def test_names_of_published_checkpoints():
    names = {
        "resnet20": ("conv1.weight", "bn1.running_var", "layer1.2.conv2.weight", "layer3.0.downsample.1.bias", "fc.bias"),
        "wrn-16-2": ("block1.layer.0.convShortcut.weight", "block3.layer.1.bn2.weight", "bn1.weight", "fc.weight"),
        "vgg13": ("block0.0.bias", "block0.4.running_mean", "block4.3.weight", "classifier.weight"),
    }
    for model, wanted in names.items():
        found = networks.parameters(networks.get(model, input_shape=SHAPE, classes=100))
        assert set(wanted) <= found.keys()
    assert "layer1.0.downsample.0.weight" not in networks.parameters(SPEC)
    wide = networks.get("resnet8x4", input_shape=SHAPE, classes=100)
    assert networks.parameters(wide)["layer1.0.downsample.0.weight"].shape == (64, 32, 1, 1)


def test_initial_weights_are_the_authors():
    spec = networks.get("resnet20", input_shape=SHAPE, classes=100)
    weights = networks.initial_weights(spec, 0)
    for name, array in weights.items():
        if array.ndim == 4 and array.size > 2000:
            assert array.std() == pytest.approx(np.sqrt(2 / (array.shape[0] * array.shape[2] ** 2)), rel=0.06), name
    assert np.abs(weights["fc.weight"]).max() <= 1 / 8 and np.abs(weights["fc.bias"]).max() > 0.1
    vgg = networks.initial_weights(networks.get("vgg8", input_shape=SHAPE, classes=100), 0)
    assert vgg["classifier.weight"].std() == pytest.approx(0.01, rel=0.02)


def test_an_array_does_not_depend_on_the_others():
    """The same name has the same stream in a deeper network; another seed has another."""
    short, deep = (networks.get(name, input_shape=SHAPE, classes=100) for name in ("resnet20", "resnet56"))
    one, other = networks.initial_weights(short, 5), networks.initial_weights(deep, 5)
    np.testing.assert_array_equal(one["layer2.1.conv1.weight"], other["layer2.1.conv1.weight"])
    assert not np.array_equal(one["layer2.1.conv1.weight"], one["layer2.2.conv1.weight"])
    assert not np.array_equal(one["fc.weight"], networks.initial_weights(short, 6)["fc.weight"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files_keep_every_bit(tmp_path, dtype):
    weights = {name: array.astype(dtype) for name, array in networks.initial_weights(SPEC, 1).items()}
    save_weights(tmp_path / "weights.safetensors", weights)
    read = read_weights(tmp_path / "weights.safetensors", SPEC)
    assert read.keys() == weights.keys()
    for name, array in weights.items():
        assert read[name].dtype == dtype
        np.testing.assert_array_equal(read[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_files_that_do_not_fit(tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = networks.initial_weights(SPEC, 1)
    save_weights(path, weights)
    with pytest.raises(ValueError, match=r"resnet8 .*wrong shape: fc.weight \(10, 64\) \(needs \(100, 64\)\)"):
        read_weights(path, networks.get("resnet8", input_shape=SHAPE, classes=100))
    with pytest.raises(ValueError, match="missing: layer1.1.conv1.weight.* and 50 more"):
        read_weights(path, networks.get("resnet20", input_shape=SHAPE, classes=10))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        read_weights(path, SPEC)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_weights(tmp_path / "nowhere", SPEC)
    with pytest.raises(ValueError, match="fc.bias.*float16"):
        save_weights(path, weights | {"fc.bias": weights["fc.bias"].astype("float16")})
