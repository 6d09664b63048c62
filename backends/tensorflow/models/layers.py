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

    Attributes:
        frozen: whether training too uses the running statistics, which then stay as they are.
    """

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.frozen = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create scale, shift and running statistics, `[channels]` each."""
        shape = (input_shape[-1],)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalise `[..., channels]` by the batch's statistics (training) or the running ones."""
        scale, shift, old_mean, old_variance = (
            tf.convert_to_tensor(v) for v in (self.scale, self.shift, self.mean, self.variance)
        )
        if not training or self.frozen:
            return _normalise(inputs, scale, shift, old_mean, old_variance, self.epsilon)
        outputs, mean, variance = _normalise_batch(inputs, scale, shift, self.epsilon)
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        unbiased = variance * (count / tf.maximum(count - 1, 1))  # biased for normalising, unbiased for the running one
        for running, old, new in ((self.mean, old_mean, mean), (self.variance, old_variance, unbiased)):
            new = tf.cast(tf.stop_gradient(new), old.dtype)
            running.assign(old + tf.constant(self.momentum, old.dtype) * (new - old))
        return outputs

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


def _normalise(
    x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, epsilon: float
) -> tf.Tensor:
    """Normalise by given moments, in one pass over images in float32."""
    if x.shape.rank == 4 and x.dtype == scale.dtype == tf.float32:
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=shift, mean=mean, variance=variance, epsilon=epsilon, is_training=False
        ).y
    return (x - mean) * (scale * tf.math.rsqrt(variance + epsilon)) + shift


def _normalise_batch(
    inputs: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise by the batch's own moments; returns them (biased variance) as constants.

    TensorFlow's fused kernel for training adds up float32 plainly (variances of 64 images of 32×32 are 1e-5 off), and
    automatic differentiation goes over the batch more often than the formula here, which takes means, not sums.
    """

    @tf.custom_gradient
    def function(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tuple:
        mean = _mean(x)
        variance = _mean(tf.math.squared_difference(x, mean))
        inverse_deviation = tf.math.rsqrt(variance + epsilon)

        def backward(gradient: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            count = tf.cast(tf.size(x) // tf.shape(x)[-1], x.dtype)
            level = _mean(gradient)
            slope = _mean(gradient * (x - mean)) * inverse_deviation
            to_x = (gradient - ((x - mean) * (slope * inverse_deviation) + level)) * (scale * inverse_deviation)
            return to_x, slope * count, level * count

        return (_normalise(x, scale, shift, mean, variance, epsilon), mean, variance), backward

    return function(inputs, scale, shift)


def _mean(x: tf.Tensor) -> tf.Tensor:
    """Mean over all axes but the last, `[channels]`: of each image, then over the batch.

    TensorFlow adds up all of it one after the other if asked at once: ten times as far off in float32, and slower.
    """
    if x.shape.rank > 2:
        x = tf.reduce_mean(x, list(range(1, x.shape.rank - 1)))
    return tf.reduce_mean(x, 0)


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
    layer = keras.layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=use_bias, name=name, dtype=dtype)
    return layer(inputs)
