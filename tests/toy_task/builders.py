"""The toy task's network in each framework: two linear layers."""


def for_torch():
    from torch import nn

    class Plane(nn.Module):
        def __init__(self, spec):
            super().__init__()
            self.hidden, self.output = nn.Linear(2, spec.width), nn.Linear(spec.width, 3)

        def forward(self, places):
            return self.output(self.hidden(places).tanh())

    return Plane


def for_jax():
    import jax.numpy as jnp
    from flax import nnx

    class Plane(nnx.Module):
        def __init__(self, spec, *, rngs, dtype):
            self.hidden = nnx.Linear(2, spec.width, param_dtype=dtype, rngs=rngs)
            self.output = nnx.Linear(spec.width, 3, param_dtype=dtype, rngs=rngs)

        def __call__(self, places):
            return self.output(jnp.tanh(self.hidden(places)))

    return Plane


def for_tensorflow():
    import keras

    def build(spec, dtype):
        inputs = keras.Input((2,), dtype=keras.DTypePolicy(dtype).variable_dtype)
        hidden = keras.layers.Dense(spec.width, "tanh", name="hidden", dtype=dtype)(inputs)
        return keras.Model(inputs, keras.layers.Dense(3, name="output", dtype=dtype)(hidden), name=spec.name)

    return build
