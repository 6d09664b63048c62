"""Networks of this backend, built by their family."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx

from ...common.networks import ModelSpec, builder_of
from .convolutional import VGG, ConvNet, ResNet, WideResNet
from .weights import freeze

# by family, from a specification, `rngs` and `dtype`; a plug-in may add its own
BUILDERS: dict[str, Callable[..., nnx.Module]] = {"convnet": ConvNet, "resnet": ResNet, "wide_resnet": WideResNet, "vgg": VGG}


def build_model(spec: ModelSpec, *, dtype=jnp.float32, rngs: nnx.Rngs | None = None) -> nnx.Module:
    """Build a network with flax's own initial weights; `weights.load_weights` puts shared ones in.

    Args:
        spec: the network.
        dtype: of the parameters.
        rngs: for the initial weights; seed 0 where None.

    Raises:
        ValueError: this backend has no builder for the family, or a frozen pattern is no parameter's.
    """
    model = builder_of(spec, BUILDERS, "jax")(spec, rngs=rngs or nnx.Rngs(0), dtype=dtype)
    model.spec = spec  # `weights` reads the layouts from it
    freeze(model)
    return model
