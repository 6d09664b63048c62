"""The project's architectures as flax.nnx modules. Images are `[batch, height, width, channels]`."""

import jax
import jax.numpy as jnp
from flax import nnx

from backends.architectures import ModelSpec
from backends.jax.layers import BatchNorm, conv3x3, max_pool_2x2


class ConvStage(nnx.Module):
    """3×3 convolution, batch normalisation, ReLU."""

    def __init__(self, features_in: int, features_out: int, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.conv = conv3x3(features_in, features_out, rngs=rngs, dtype=dtype)
        self.bn = BatchNorm(features_out, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features `[batch, height, width, features_out]`."""
        return nnx.relu(self.bn(self.conv(x)))


class ConvNet(nnx.Module):
    """Convolutional stages with 2×2 max-pooling between them, the mean over space, and a linear layer."""

    def __init__(self, spec: ModelSpec, *, rngs: nnx.Rngs, dtype=jnp.float32):
        channels = (spec.input_shape[2], *spec.widths)
        self.stages = nnx.List(
            [ConvStage(a, b, rngs=rngs, dtype=dtype) for a, b in zip(channels[:-1], channels[1:], strict=True)]
        )
        self.linear = nnx.Linear(channels[-1], spec.classes, param_dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate(self.stages):
            if i:
                x = max_pool_2x2(x)
            x = stage(x)
        return self.linear(x.mean(axis=(1, 2)))


BUILDERS = {"convnet": ConvNet}


def build_model(spec: ModelSpec, *, dtype=jnp.float32, rngs: nnx.Rngs | None = None) -> nnx.Module:
    """Build the network that `spec` describes, with flax's own initial weights.

    Args:
        spec: from `backends.architectures.get`.
        dtype: of the parameters.
        rngs: for the initial weights; seed 0 where None. `backends.jax.weights.load_weights` replaces them.

    Raises:
        ValueError: this backend has no builder for the family.
    """
    if spec.family not in BUILDERS:
        raise ValueError(f"family={spec.family!r} is not built by the jax backend; it has {', '.join(BUILDERS)}")
    return BUILDERS[spec.family](spec, rngs=rngs or nnx.Rngs(0), dtype=dtype)
