"""Stochastic gradient descent with PyTorch's meaning, and Keras optimizers behind the same three functions."""

from collections.abc import Sequence

import keras
import tensorflow as tf


class SGD:
    """v ← momentum·v + g + weight_decay·p;  p ← p − learning_rate·v, as `torch.optim.SGD`.

    Keras' SGD multiplies the learning rate into the velocity and keeps it in float32; both change the path.

    Args:
        momentum: 0 for plain gradient descent.
        weight_decay: coupled (added to the gradient).
    """

    def __init__(self, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        self.momentum = momentum
        self.weight_decay = weight_decay

    def state(self, variables: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Fresh velocities, all zero."""
        return [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss to differentiate: the loss itself."""
        return loss

    def step(
        self,
        state: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the new values and the new state.

        Args:
            state: velocities.
            gradients: one per value.
            values: the trained weights.
            learning_rate: float64 scalar, rounded only to the weights' type.
        """
        velocities = []
        for velocity, gradient, value in zip(state, gradients, values, strict=True):
            if self.weight_decay:
                gradient = gradient + tf.cast(self.weight_decay, value.dtype) * value
            velocities.append(tf.cast(self.momentum, value.dtype) * velocity + gradient)
        new = [v - tf.cast(learning_rate, v.dtype) * u for v, u in zip(values, velocities, strict=True)]
        return new, velocities

    @property
    def signature(self) -> tuple[float, float]:
        """What a compiled step depends on."""
        return self.momentum, self.weight_decay


class KerasOptimizer:
    """A Keras optimizer of the user's; it keeps its own state and learning rate.

    Args:
        optimizer: any `keras.optimizers.Optimizer`.
    """

    signature = None  # never shared

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer

    def state(self, variables: Sequence[keras.Variable]) -> list[tf.Variable]:
        """The optimizer's variables."""
        if not self.optimizer.built:
            self.optimizer.build(variables)
        return [v.value for v in self.optimizer.variables]

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss to differentiate: scaled where the optimizer scales losses (float16)."""
        return self.optimizer.scale_loss(loss)

    def step(
        self,
        state: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the new values and the new state; `learning_rate` is not used."""
        return self.optimizer.stateless_apply(list(state), list(gradients), list(values))
