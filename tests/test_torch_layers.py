"""Batch normalisation of channels-last float32 batches against PyTorch's own in float64, and folded away."""

import pytest
import torch
from torch import nn

from backends.common import networks
from backends.torch.models import build_model
from backends.torch.models.folding import folded
from backends.torch.models.layers import BatchNorm


def both(shape, seed=0):
    """Output, gradients and running statistics: ours in float32 and channels-last order, PyTorch's in float64."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(shape, generator=generator) * 2 + 1
    upstream = torch.randn(shape, generator=generator)
    results = []
    for layer, dtype, order in (
        (BatchNorm(shape[1]), torch.float32, torch.channels_last),
        (nn.BatchNorm2d(shape[1]), torch.float64, torch.contiguous_format),
    ):
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(0.5, 2, shape[1]))
            layer.bias.copy_(torch.linspace(-1, 1, shape[1]))
        layer = layer.to(dtype)
        x = images.to(dtype, memory_format=order).requires_grad_()
        out = layer(x)
        out.backward(upstream.to(dtype))
        results.append(
            (out, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var, layer.num_batches_tracked)
        )
    return results


@pytest.mark.parametrize("shape", [(64, 16, 32, 32), (3, 32, 7, 5), (6, 24, 5, 5), (2, 128, 8, 8), (5, 4, 1, 3)])
def test_as_pytorchs_own_but_more_precise(backend, shape):
    ours, theirs = both(shape)
    bounds = (1e-6, 2e-5, 2e-5, 2e-5, 1e-6, 1e-6, 0)  # gradients keep PyTorch's own sums
    for mine, own, bound in zip(ours, theirs, bounds, strict=True):
        assert (mine.double() - own.double()).abs().max() <= bound * own.double().abs().max()


def test_the_sums_are_why_it_is_there(backend):
    """Should PyTorch's own become as precise, the layer can go."""
    images = (torch.randn(64, 16, 32, 32) + 1).to(memory_format=torch.channels_last)
    errors = []
    for layer in (BatchNorm(16), nn.BatchNorm2d(16)):
        layer(images)
        want = 0.9 + 0.1 * images.double().var((0, 2, 3))
        errors.append(((layer.running_var - want) / (want - 0.9)).abs().max().item())
    assert errors[0] < 2e-6 < errors[1]


def test_evaluation_and_other_layouts_are_pytorchs(backend):
    layer, own = BatchNorm(4), nn.BatchNorm2d(4)
    images = torch.randn(6, 4, 5, 5)
    assert torch.equal(layer(images), own(images))
    layer.eval(), own.eval()
    images = images.to(memory_format=torch.channels_last)
    assert torch.equal(layer(images), own(images))


def test_one_value_a_channel_is_an_error(backend):
    with pytest.raises(ValueError):
        BatchNorm(4)(torch.randn(1, 4, 1, 1).to(memory_format=torch.channels_last))


@pytest.mark.parametrize("name", ["convnet-8-16", "resnet8", "resnet56", "wrn-10-2", "vgg8"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_folded_networks_give_the_same_logits(backend, name, dtype, bound):
    torch.manual_seed(0)
    model = build_model(networks.get(name, input_shape=(32, 32, 3), classes=10)).to(dtype)
    images = torch.randn(4, 3, 32, 32, dtype=dtype)
    with torch.no_grad():
        model(images)  # running statistics of its own
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
        want, quicker = model.eval()(images), folded(model)
        assert (quicker(images) - want).abs().max() <= bound * want.abs().max()
    left = sum(isinstance(layer, nn.BatchNorm2d) for layer in quicker.modules())
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in quicker.modules())
    assert left < convolutions / 2 and (left == 0 or name.startswith("wrn"))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def test_models_of_others_are_left_alone(backend):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert folded(model) is model
