"""Keras layers with the meaning that they have in PyTorch, so that weights and training curves can be exchanged."""

from typing import Any

import keras
import tensorflow as tf


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over all axes but the last, as `torch.nn.BatchNorm2d`.

    Keras' own layer keeps the biased variance of the batch as its running variance and counts momentum the other way
    round.

    Args:
        momentum: weight of the new batch in the running statistics.
        epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create scale, shift and running statistics, `[channels]` each."""
        shape = (input_shape[-1],)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalise `[..., channels]` by the batch's statistics (training) or the running ones."""
        if not training:
            mean, variance = tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)
            factor = tf.convert_to_tensor(self.scale) * tf.math.rsqrt(variance + self.epsilon)
            return (inputs - mean) * factor + tf.convert_to_tensor(self.shift)
        axes = list(range(inputs.shape.rank - 1))
        mean = tf.reduce_mean(inputs, axes)
        centred = inputs - mean
        variance = tf.reduce_mean(tf.square(centred), axes)  # biased for normalising, unbiased for the running one
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        unbiased = tf.stop_gradient(variance) * (count / tf.maximum(count - 1, 1))
        for running, new in ((self.mean, tf.stop_gradient(mean)), (self.variance, unbiased)):
            old = tf.convert_to_tensor(running)
            running.assign(old + tf.constant(self.momentum, old.dtype) * (tf.cast(new, old.dtype) - old))
        factor = tf.convert_to_tensor(self.scale) * tf.math.rsqrt(variance + self.epsilon)
        return centred * factor + tf.convert_to_tensor(self.shift)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


def convolution(
    inputs: tf.Tensor, filters: int, size: int = 3, *, strides: int = 1, use_bias: bool = False, name: str, dtype: str
) -> tf.Tensor:
    """2-D convolution of `[batch, height, width, channels]`, padded by size // 2 on every side.

    Keras' "same" pads the far side only where the stride is 2; with stride 1 and an odd size the two agree.
    """
    padding = "same"
    if strides != 1 and size > 1:
        inputs = keras.layers.ZeroPadding2D(size // 2, name=f"{name}.padding", dtype=dtype)(inputs)
        padding = "valid"
    layer = keras.layers.Conv2D(
        filters, size, strides=strides, padding=padding, use_bias=use_bias, name=name, dtype=dtype
    )
    return layer(inputs)
