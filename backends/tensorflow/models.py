"""Keras models of the architectures in `backends.architectures`; layers carry the PyTorch names of their weights."""

from collections.abc import Callable

import keras
import tensorflow as tf

from backends.architectures import ModelSpec
from backends.tensorflow.layers import BatchNorm, convolution


def _convnet(inputs: tf.Tensor, spec: ModelSpec, dtype: str) -> tf.Tensor:
    """Stages of 3×3 convolution, batch normalisation and ReLU, 2×2 max-pooling between; mean over space, linear."""
    outputs = inputs
    for i, width in enumerate(spec.widths):
        if i:
            outputs = keras.layers.MaxPooling2D(2, name=f"stages.{i}.pool", dtype=dtype)(outputs)
        outputs = convolution(outputs, width, 3, name=f"stages.{i}.conv", dtype=dtype)
        outputs = BatchNorm(name=f"stages.{i}.bn", dtype=dtype)(outputs)
        outputs = keras.layers.ReLU(name=f"stages.{i}.relu", dtype=dtype)(outputs)
    outputs = keras.layers.GlobalAveragePooling2D(name="mean", dtype=dtype)(outputs)
    return keras.layers.Dense(spec.classes, name="linear", dtype=dtype)(outputs)


FAMILIES: dict[str, Callable[[tf.Tensor, ModelSpec, str], tf.Tensor]] = {"convnet": _convnet}


def build_model(spec: ModelSpec, *, dtype: str = "float32") -> keras.Model:
    """Build a Keras model: images `[batch, height, width, channels]` to logits `[batch, classes]`.

    Args:
        spec: from `backends.architectures.get`.
        dtype: "float32", "float64", or a Keras policy such as "mixed_bfloat16".
    """
    inputs = keras.Input(spec.input_shape, dtype=keras.DTypePolicy(dtype).variable_dtype)
    model = keras.Model(inputs, FAMILIES[spec.family](inputs, spec, dtype), name=spec.name)
    model.dtype_policy = keras.DTypePolicy(dtype)  # or Keras would cast float64 images to float32 on the way in
    model.architecture = (spec, dtype)  # models that share it share compiled training steps
    return model
