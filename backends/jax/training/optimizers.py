"""The optimisers of `common.training.optimizers` as optax transformations; optax' own would compile their numbers in."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ...common.training.optimizers import SGD, AdamW


class _SgdState(NamedTuple):
    count: jax.Array
    buffers: Any


class _AdamWState(NamedTuple):
    count: jax.Array
    means: Any
    squares: Any


def hyperparameters(optimizer: SGD | AdamW) -> tuple[float, ...]:
    """The numbers that `update` of `build_optimizer` takes behind the learning rate."""
    if isinstance(optimizer, SGD):
        return optimizer.momentum, optimizer.weight_decay
    return *optimizer.betas, optimizer.epsilon, optimizer.weight_decay


@lru_cache(maxsize=64)
def build_optimizer(
    kind: type[SGD] | type[AdamW], nesterov: bool = False, decays: tuple[bool, ...] = ()
) -> optax.GradientTransformationExtraArgs:
    """The transformation of one kind, whose `update` takes the vector `numbers`: learning rate and `hyperparameters`.

    Args:
        kind: the optimizer's class.
        nesterov: of SGD.
        decays: of AdamW, whether each parameter has weight decay, in the order of the tree's leaves.
    """
    if kind is SGD:
        return optax.GradientTransformationExtraArgs(_initial_sgd, _sgd_update(nesterov))
    return optax.GradientTransformationExtraArgs(_initial_adamw, _adamw_update(decays))


def _initial_sgd(parameters: Any) -> _SgdState:
    return _SgdState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, parameters))


def _sgd_update(nesterov: bool) -> Callable[..., tuple[Any, _SgdState]]:
    def update(gradients: Any, state: _SgdState, parameters: Any, *, numbers: Any) -> tuple[Any, _SgdState]:
        learning_rate, momentum, weight_decay = numbers

        def buffer(gradient: jax.Array, old: jax.Array, parameter: jax.Array) -> jax.Array:
            return jnp.asarray(momentum, old.dtype) * old + gradient + jnp.asarray(weight_decay, old.dtype) * parameter

        def ahead(gradient: jax.Array, new: jax.Array, parameter: jax.Array) -> jax.Array:
            decayed = gradient + jnp.asarray(weight_decay, new.dtype) * parameter
            return decayed + jnp.asarray(momentum, new.dtype) * new

        buffers = jax.tree.map(buffer, gradients, state.buffers, parameters)
        steps = jax.tree.map(ahead, gradients, buffers, parameters) if nesterov else buffers
        updates = jax.tree.map(lambda step: -jnp.asarray(learning_rate, step.dtype) * step, steps)
        return updates, _SgdState(state.count + 1, buffers)

    return update


def _initial_adamw(parameters: Any) -> _AdamWState:
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return _AdamWState(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.copy, zeros))


def _adamw_update(decays: tuple[bool, ...]) -> Callable[..., tuple[Any, _AdamWState]]:
    def update(gradients: Any, state: _AdamWState, parameters: Any, *, numbers: Any) -> tuple[Any, _AdamWState]:
        count = state.count + 1

        def changed(gradient: jax.Array, mean: jax.Array, square: jax.Array, parameter: jax.Array, decayed: bool) -> tuple:
            rate, first, second, epsilon, weight_decay = (jnp.asarray(number, parameter.dtype) for number in numbers)
            mean = first * mean + (1 - first) * gradient
            square = second * square + (1 - second) * gradient * gradient
            time = count.astype(parameter.dtype)
            deviation = jnp.sqrt(square / (1 - second**time)) + epsilon
            step = mean / (1 - first**time) / deviation
            return -rate * (step + weight_decay * parameter if decayed else step), mean, square

        leaves, tree = jax.tree.flatten(parameters)
        columns = (jax.tree.leaves(part) for part in (gradients, state.means, state.squares))
        changes = [changed(*row) for row in zip(*columns, leaves, decays, strict=True)]
        updates, means, squares = (jax.tree.unflatten(tree, column) for column in zip(*changes, strict=True))
        return updates, _AdamWState(count, means, squares)

    return update


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
        return build_optimizer(SGD).update(gradients, state, parameters, numbers=(rate, momentum, weight_decay))

    return optax.GradientTransformation(_initial_sgd, update)
