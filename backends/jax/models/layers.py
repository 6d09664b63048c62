"""Layers with PyTorch's meaning, so that the same weights give the same numbers in every framework."""

import jax
import jax.numpy as jnp
from flax import nnx

from .convolutions import convolve


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last.

    As `torch.nn.BatchNorm2d`: batches are normalised with their biased variance, the running variance takes the
    unbiased one, and running ← (1 − momentum) · running + momentum · batch. (flax's own keeps the biased variance.)

    Attributes:
        scale, bias: `[features]`, trained.
        mean, var: `[features]`, running statistics.
        use_running_average: set by `.eval()` and cleared by `.train()`.
        frozen: whether training too uses the running statistics, which then stay as they are.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5, dtype=jnp.float32):
        self.scale = nnx.Param(jnp.ones(features, dtype))
        self.bias = nnx.Param(jnp.zeros(features, dtype))
        self.mean = nnx.BatchStat(jnp.zeros(features, dtype))
        self.var = nnx.BatchStat(jnp.ones(features, dtype))
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = False
        self.frozen = False

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise `[..., features]`."""
        if self.use_running_average or self.frozen:
            mean, var = self.mean[...], self.var[...]
        else:
            axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
            if count < 2:
                raise ValueError(f"x has shape {x.shape}; in training, batch normalisation needs two values a channel")
            mean = x.mean(axes)
            var = jnp.square(x - mean).mean(axes)
            unbiased = var * (count / (count - 1))
            self.mean[...] = (1 - self.momentum) * self.mean[...] + self.momentum * mean
            self.var[...] = (1 - self.momentum) * self.var[...] + self.momentum * unbiased
        return (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * self.scale[...]) + self.bias[...]


def convolution(
    features_in: int,
    features_out: int,
    size: int = 3,
    *,
    stride: int = 1,
    bias: bool = False,
    rngs: nnx.Rngs,
    dtype=jnp.float32,
) -> nnx.Conv:
    """Convolution of `[batch, height, width, channels]`, padded by size // 2 on every side, also at stride 2."""
    return nnx.Conv(
        features_in,
        features_out,
        kernel_size=(size, size),
        strides=stride,
        padding=size // 2,
        use_bias=bias,
        conv_general_dilated=convolve,
        param_dtype=dtype,
        rngs=rngs,
    )


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """2×2 max-pooling with stride 2 of `[batch, height, width, channels]`; an odd last row or column is left out."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    # two comparisons instead of a window reduction: on a CPU its gradient is several times cheaper
    x = _larger(x[:, :, :, :, 0], x[:, :, :, :, 1])
    return _larger(x[:, :, 0], x[:, :, 1])


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """The larger of both; where they are equal the gradient goes to `a`, the first, as in PyTorch."""
    return jnp.where(a >= b, a, b)


def spatial_mean(x: jax.Array) -> jax.Array:
    """Mean over height and width: `[batch, channels]`."""
    return x.mean(axis=(1, 2))
