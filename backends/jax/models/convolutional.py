"""Networks of `common.networks.convolutional` as flax.nnx modules; images are `[batch, height, width, channels]`.

Modules are named as in the published PyTorch checkpoints (camel case included), so that these load by name.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from ...common.networks.convolutional import ConvolutionalSpec, ResidualBlock, residual_blocks
from .layers import BatchNorm, convolution, max_pool_2x2, spatial_mean


class Stage(nnx.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, width: int, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.conv = convolution(channels, width, rngs=rngs, dtype=dtype)
        self.bn = BatchNorm(width, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Activations of the same height and width."""
        return nnx.relu(self.bn(self.conv(x)))


class ConvNet(nnx.Module):
    """Stages of convolution, batch normalisation, ReLU with 2×2 max-pooling between them; mean over space, linear."""

    def __init__(self, spec: ConvolutionalSpec, *, rngs: nnx.Rngs, dtype=jnp.float32):
        channels = (spec.input_shape[2], *spec.widths)
        pairs = zip(channels, spec.widths, strict=False)
        self.stages = nnx.List([Stage(a, b, rngs=rngs, dtype=dtype) for a, b in pairs])
        self.linear = nnx.Linear(spec.widths[-1], spec.classes, param_dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate(self.stages):
            x = stage(max_pool_2x2(x) if i else x)
        return self.linear(spatial_mean(x))


class BasicBlock(nnx.Module):
    """Two convolutions, each normalised; the shortcut joins before the last ReLU."""

    def __init__(self, block: ResidualBlock, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.conv1 = convolution(block.channels, block.width, stride=block.stride, rngs=rngs, dtype=dtype)
        self.bn1 = BatchNorm(block.width, dtype=dtype)
        self.conv2 = convolution(block.width, block.width, rngs=rngs, dtype=dtype)
        self.bn2 = BatchNorm(block.width, dtype=dtype)
        shortcut = []
        if block.changes_shape:
            convolved = convolution(block.channels, block.width, 1, stride=block.stride, rngs=rngs, dtype=dtype)
            shortcut = [convolved, BatchNorm(block.width, dtype=dtype)]
        self.downsample = nnx.List(shortcut)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Activations, at stride 2 of half the height and width."""
        out = nnx.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        for layer in self.downsample:
            x = layer(x)
        return nnx.relu(out + x)


class ResNet(nnx.Module):
    """CIFAR ResNet: a convolution, three stages of basic blocks, mean over space, linear."""

    def __init__(self, spec: ConvolutionalSpec, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0], rngs=rngs, dtype=dtype)
        self.bn1 = BatchNorm(spec.widths[0], dtype=dtype)
        self.layer1, self.layer2, self.layer3 = _stages(spec, BasicBlock, rngs, dtype)
        self.fc = nnx.Linear(spec.widths[-1], spec.classes, param_dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        x = nnx.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            for block in stage:
                x = block(x)
        return self.fc(spatial_mean(x))


class PreActivationBlock(nnx.Module):
    """Normalisation and ReLU before each convolution.

    Where the shape changes, the shortcut's convolution takes the activated input; otherwise the shortcut is the input.
    """

    def __init__(self, block: ResidualBlock, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.bn1 = BatchNorm(block.channels, dtype=dtype)
        self.conv1 = convolution(block.channels, block.width, stride=block.stride, rngs=rngs, dtype=dtype)
        self.bn2 = BatchNorm(block.width, dtype=dtype)
        self.conv2 = convolution(block.width, block.width, rngs=rngs, dtype=dtype)
        shortcut = None
        if block.changes_shape:
            shortcut = convolution(block.channels, block.width, 1, stride=block.stride, rngs=rngs, dtype=dtype)
        self.convShortcut = shortcut

    def __call__(self, x: jax.Array) -> jax.Array:
        """Activations, at stride 2 of half the height and width."""
        active = nnx.relu(self.bn1(x))
        out = nnx.relu(self.bn2(self.conv1(active)))
        return self.conv2(out) + (x if self.convShortcut is None else self.convShortcut(active))


class _WideStage(nnx.Module):
    def __init__(self, blocks: nnx.List):
        self.layer = blocks

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.layer:
            x = block(x)
        return x


class WideResNet(nnx.Module):
    """A convolution, three stages of pre-activation blocks, normalisation, ReLU, mean over space, linear."""

    def __init__(self, spec: ConvolutionalSpec, *, rngs: nnx.Rngs, dtype=jnp.float32):
        self.conv1 = convolution(spec.input_shape[2], spec.widths[0], rngs=rngs, dtype=dtype)
        self.block1, self.block2, self.block3 = map(_WideStage, _stages(spec, PreActivationBlock, rngs, dtype))
        self.bn1 = BatchNorm(spec.widths[-1], dtype=dtype)
        self.fc = nnx.Linear(spec.widths[-1], spec.classes, param_dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(spatial_mean(nnx.relu(self.bn1(x))))


def _stages(spec: ConvolutionalSpec, module: type[nnx.Module], rngs: nnx.Rngs, dtype) -> list[nnx.List]:
    """The blocks of a residual network, stage by stage."""
    blocks = residual_blocks(spec)
    return [
        nnx.List([module(block, rngs=rngs, dtype=dtype) for block in blocks if block.stage == stage])
        for stage in range(len(spec.widths) - 1)
    ]


class VGG(nnx.Module):
    """Stages of convolution with bias, batch normalisation and ReLU; mean over space, linear.

    2×2 max-pooling follows each stage but the last two: the fourth pooling is for images of 64 pixels.
    """

    def __init__(self, spec: ConvolutionalSpec, *, rngs: nnx.Rngs, dtype=jnp.float32):
        channels, self._pooled = spec.input_shape[2], len(spec.widths) - 2
        for stage, width in enumerate(spec.widths):
            units = []
            for _ in range(spec.blocks):
                convolved = convolution(channels, width, bias=True, rngs=rngs, dtype=dtype)
                units += [convolved, BatchNorm(width, dtype=dtype), nnx.relu]
                channels = width
            setattr(self, f"block{stage}", nnx.List(units))
        self.classifier = nnx.Linear(channels, spec.classes, param_dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        for i, stage in enumerate((self.block0, self.block1, self.block2, self.block3, self.block4)):
            for layer in stage:
                x = layer(x)
            if i < self._pooled:
                x = max_pool_2x2(x)
        return self.classifier(spatial_mean(x))
