"""Networks of this backend, built by their family."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ...common.networks import ModelSpec, builder_of
from .convolutional import VGG, ConvNet, ResNet, WideResNet
from .weights import freeze

# by family, from a specification; a plug-in may add its own
BUILDERS: dict[str, Callable[[Any], nn.Module]] = {"convnet": ConvNet, "resnet": ResNet, "wide_resnet": WideResNet, "vgg": VGG}


def build_model(spec: ModelSpec) -> nn.Module:
    """Build a network with PyTorch's own initial weights; `weights.load_weights` puts shared ones in.

    Raises:
        ValueError: this backend has no builder for the family, or a frozen pattern is no parameter's.
    """
    model = builder_of(spec, BUILDERS, "torch")(spec)
    freeze(model, spec)
    return model
