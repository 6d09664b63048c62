"""Networks of `common.networks.convolutional` as Keras models; images are `[batch, height, width, channels]`.

Layers carry the names that PyTorch's modules have in the published checkpoints, so that these load by name.
"""

from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf

from ...common.networks.convolutional import ConvolutionalSpec, ResidualBlock, residual_blocks
from .layers import BatchNorm, convolution


def _convnet(inputs: tf.Tensor, spec: ConvolutionalSpec, dtype: str) -> tf.Tensor:
    """Stages of 3×3 convolution, batch normalisation and ReLU, 2×2 max-pooling between; mean over space, linear."""
    x = inputs
    for i, width in enumerate(spec.widths):
        if i:
            x = keras.layers.MaxPooling2D(2, name=f"stages.{i}.pool", dtype=dtype)(x)
        x = convolution(x, width, name=f"stages.{i}.conv", dtype=dtype)
        x = BatchNorm(name=f"stages.{i}.bn", dtype=dtype)(x)
        x = _relu(x, f"stages.{i}.relu", dtype)
    return _head(x, spec, "linear", dtype)


def _basic_block(x: tf.Tensor, block: ResidualBlock, dtype: str) -> tf.Tensor:
    """Two convolutions, each normalised; the shortcut joins before the last ReLU."""
    prefix = f"layer{block.stage + 1}.{block.number}"
    out = convolution(x, block.width, strides=block.stride, name=f"{prefix}.conv1", dtype=dtype)
    out = _relu(BatchNorm(name=f"{prefix}.bn1", dtype=dtype)(out), f"{prefix}.relu1", dtype)
    out = convolution(out, block.width, name=f"{prefix}.conv2", dtype=dtype)
    out = BatchNorm(name=f"{prefix}.bn2", dtype=dtype)(out)
    if block.changes_shape:
        x = convolution(x, block.width, 1, strides=block.stride, name=f"{prefix}.downsample.0", dtype=dtype)
        x = BatchNorm(name=f"{prefix}.downsample.1", dtype=dtype)(x)
    return _relu(keras.layers.Add(name=f"{prefix}.add", dtype=dtype)([out, x]), f"{prefix}.relu2", dtype)


def _resnet(inputs: tf.Tensor, spec: ConvolutionalSpec, dtype: str) -> tf.Tensor:
    """CIFAR ResNet: a convolution, three stages of basic blocks, mean over space, linear."""
    x = convolution(inputs, spec.widths[0], name="conv1", dtype=dtype)
    x = _relu(BatchNorm(name="bn1", dtype=dtype)(x), "relu", dtype)
    for block in residual_blocks(spec):
        x = _basic_block(x, block, dtype)
    return _head(x, spec, "fc", dtype)


def _pre_activation_block(x: tf.Tensor, block: ResidualBlock, dtype: str) -> tf.Tensor:
    """Normalisation and ReLU before each convolution.

    Where the shape changes, the shortcut's convolution takes the activated input; otherwise the shortcut is the input.
    """
    prefix = f"block{block.stage + 1}.layer.{block.number}"
    active = _relu(BatchNorm(name=f"{prefix}.bn1", dtype=dtype)(x), f"{prefix}.relu1", dtype)
    out = convolution(active, block.width, strides=block.stride, name=f"{prefix}.conv1", dtype=dtype)
    out = _relu(BatchNorm(name=f"{prefix}.bn2", dtype=dtype)(out), f"{prefix}.relu2", dtype)
    out = convolution(out, block.width, name=f"{prefix}.conv2", dtype=dtype)
    if block.changes_shape:
        x = convolution(active, block.width, 1, strides=block.stride, name=f"{prefix}.convShortcut", dtype=dtype)
    return keras.layers.Add(name=f"{prefix}.add", dtype=dtype)([out, x])


def _wide_resnet(inputs: tf.Tensor, spec: ConvolutionalSpec, dtype: str) -> tf.Tensor:
    """A convolution, three stages of pre-activation blocks, normalisation, ReLU, mean over space, linear."""
    x = convolution(inputs, spec.widths[0], name="conv1", dtype=dtype)
    for block in residual_blocks(spec):
        x = _pre_activation_block(x, block, dtype)
    return _head(_relu(BatchNorm(name="bn1", dtype=dtype)(x), "relu", dtype), spec, "fc", dtype)


def _vgg(inputs: tf.Tensor, spec: ConvolutionalSpec, dtype: str) -> tf.Tensor:
    """Stages of convolution with bias, batch normalisation and ReLU; mean over space, linear.

    2×2 max-pooling follows each stage but the last two: the fourth pooling is for images of 64 pixels.
    """
    x = inputs
    for stage, width in enumerate(spec.widths):
        for i in range(0, 3 * spec.blocks, 3):
            x = convolution(x, width, use_bias=True, name=f"block{stage}.{i}", dtype=dtype)
            x = BatchNorm(name=f"block{stage}.{i + 1}", dtype=dtype)(x)
            x = _relu(x, f"block{stage}.{i + 2}", dtype)
        if stage < len(spec.widths) - 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{stage}", dtype=dtype)(x)
    return _head(x, spec, "classifier", dtype)


def _relu(x: tf.Tensor, name: str, dtype: str) -> tf.Tensor:
    return keras.layers.ReLU(name=name, dtype=dtype)(x)


def _head(x: tf.Tensor, spec: ConvolutionalSpec, name: str, dtype: str) -> tf.Tensor:
    """Mean over height and width, then a linear layer: logits `[batch, classes]`."""
    x = keras.layers.GlobalAveragePooling2D(name="mean", dtype=dtype)(x)
    return keras.layers.Dense(spec.classes, name=name, dtype=dtype)(x)


def _model(
    layers: Callable[[tf.Tensor, ConvolutionalSpec, str], tf.Tensor], spec: ConvolutionalSpec, dtype: str
) -> keras.Model:
    inputs = keras.Input(spec.input_shape, dtype=keras.DTypePolicy(dtype).variable_dtype)
    return keras.Model(inputs, layers(inputs, spec, dtype), name=spec.name)


# by family: images `[batch, height, width, channels]` to logits `[batch, classes]`
BUILDERS = {
    "convnet": partial(_model, _convnet),
    "resnet": partial(_model, _resnet),
    "wide_resnet": partial(_model, _wide_resnet),
    "vgg": partial(_model, _vgg),
}
