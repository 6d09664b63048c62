"""Batch normalisation of float32 batches against TensorFlow's automatic differentiation in float64."""

import pytest
import tensorflow as tf

from backends.tensorflow.models.layers import BatchNorm


def plainly(x, scale, shift, epsilon):
    """The definition, `[..., channels]`, and the batch's unbiased variance."""
    axes = list(range(x.shape.rank - 1))
    mean, variance = tf.nn.moments(x, axes)
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    return (x - mean) * tf.math.rsqrt(variance + epsilon) * scale + shift, variance * count / (count - 1)


def both(shape, compiled):
    """Output, gradients and running statistics: the layer's in float32, the definition's in float64."""
    images, upstream = (tf.random.stateless_normal(shape, (0, seed)) * 2 + 1 for seed in (1, 2))
    layer = BatchNorm(dtype="float32")
    layer.build(shape)
    layer.scale.assign(tf.linspace(0.5, 2.0, shape[-1]))
    layer.shift.assign(tf.linspace(-1.0, 1.0, shape[-1]))

    @tf.function(jit_compile=compiled)
    def ours(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = layer(x, training=True)
        return out, *tape.gradient(out, (x, layer.scale.value, layer.shift.value), upstream)

    x, scale, shift, wanted = (tf.cast(v, tf.float64) for v in (images, layer.scale, layer.shift, upstream))
    with tf.GradientTape() as tape:
        tape.watch((x, scale, shift))
        out, variance = plainly(x, scale, shift, layer.epsilon)
    gradients = tape.gradient(out, (x, scale, shift), wanted)
    running = 0.1 * tf.reduce_mean(x, list(range(len(shape) - 1))), 0.9 + 0.1 * variance
    return (*ours(images, upstream), layer.mean, layer.variance), (out, *gradients, *running)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(64, 32, 32, 16), (3, 7, 5, 32), (16, 24), (2, 8, 8, 128), (5, 1, 3, 4)])
def test_close_to_float64_for_large_batches_too(backend, shape, compiled):
    # a parameter's gradient is a sum whose terms cancel
    bounds = {"output": 1e-6, "to input": 1e-6, "to scale": 1e-5, "to shift": 1e-5, "mean": 1e-6, "variance": 1e-6}
    for (name, bound), mine, exact in zip(bounds.items(), *both(shape, compiled), strict=True):
        error = tf.reduce_max(tf.abs(tf.cast(mine, tf.float64) - exact)) / tf.reduce_max(tf.abs(exact))
        assert error <= bound, f"{name}: {error:.1e}"
