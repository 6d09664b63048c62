"""Networks of this backend, built by their family."""

from collections.abc import Callable
from typing import Any

import keras

from ...common.networks import ModelSpec, builder_of
from . import convolutional
from .weights import freeze

# by family, from a specification and a Keras policy; a plug-in may add its own
BUILDERS: dict[str, Callable[[Any, str], keras.Model]] = dict(convolutional.BUILDERS)


def build_model(spec: ModelSpec, *, dtype: str = "float32") -> keras.Model:
    """Build a network with Keras' own initial weights; `weights.load_weights` puts shared ones in.

    Args:
        spec: the network.
        dtype: "float32", "float64", or a Keras policy such as "mixed_bfloat16".

    Raises:
        ValueError: this backend has no builder for the family, or a frozen pattern is no parameter's.
    """
    model = builder_of(spec, BUILDERS, "tensorflow")(spec, dtype)
    model.dtype_policy = keras.DTypePolicy(dtype)  # or Keras would cast float64 images to float32 on the way in
    # models that share it share compiled training steps, and `weights` reads the layouts from it
    model.architecture = (spec, dtype)
    freeze(model)
    return model
