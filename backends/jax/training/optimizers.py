"""Stochastic gradient descent with PyTorch's meaning, as an optax transformation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class _SgdState(NamedTuple):
    count: jax.Array
    buffers: Any


def _initial(parameters: Any) -> _SgdState:
    return _SgdState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, parameters))


def _update(
    gradients: Any, state: _SgdState, parameters: Any, *, learning_rate: Any, momentum: Any, weight_decay: Any
) -> tuple[Any, _SgdState]:
    def buffer(gradient: jax.Array, old: jax.Array, parameter: jax.Array) -> jax.Array:
        return jnp.asarray(momentum, old.dtype) * old + gradient + jnp.asarray(weight_decay, old.dtype) * parameter

    buffers = jax.tree.map(buffer, gradients, state.buffers, parameters)
    updates = jax.tree.map(lambda b: -jnp.asarray(learning_rate, b.dtype) * b, buffers)
    return updates, _SgdState(state.count + 1, buffers)


# `update` takes learning_rate, momentum and weight_decay as extra arguments, so that none is compiled in
SGD = optax.GradientTransformationExtraArgs(_initial, _update)


def sgd(
    learning_rate: float | Callable[[jax.Array], Any], *, momentum: float = 0.9, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """buffer ← momentum · buffer + gradient + weight_decay · parameter; parameter ← parameter − learning_rate · buffer.

    As `torch.optim.SGD` (coupled weight decay, no dampening, no Nesterov). Unlike `optax.sgd` with a schedule, where
    the momentum is the same but weight decay is a separate transformation.

    Args:
        learning_rate: a number, or an optax schedule from the step's number.
        momentum: 0 for none.
        weight_decay: 0 for none.
    """

    def update(gradients: Any, state: _SgdState, parameters: Any = None) -> tuple[Any, _SgdState]:
        if parameters is None:
            raise ValueError("parameters=None: sgd needs the parameters; call update(gradients, state, parameters)")
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        return _update(gradients, state, parameters, learning_rate=rate, momentum=momentum, weight_decay=weight_decay)

    return optax.GradientTransformation(_initial, update)
