"""Stochastic gradient descent with PyTorch's meaning, and Keras optimizers behind the same functions."""

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

    def apply(
        self,
        variables: Sequence[tf.Variable],
        state: Sequence[tf.Variable],
        gradients: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
    ) -> None:
        """Update `variables` and `state` (velocities) in place.

        Args:
            variables: the trained weights.
            state: one velocity a weight.
            gradients: one per weight.
            learning_rate: float64 scalar, rounded only to the weights' type.
        """
        for variable, velocity, gradient in zip(variables, state, gradients, strict=True):
            if self.weight_decay:
                gradient = gradient + tf.constant(self.weight_decay, variable.dtype) * variable
            new = tf.constant(self.momentum, variable.dtype) * velocity + gradient
            velocity.assign(new)
            variable.assign_sub(tf.cast(learning_rate, variable.dtype) * new)

    @property
    def signature(self) -> tuple[float, float]:
        """What a compiled step depends on."""
        return self.momentum, self.weight_decay

    @property
    def description(self) -> str:
        """What a resumed training must share."""
        return f"SGD momentum={self.momentum} weight_decay={self.weight_decay}"

    @property
    def variables(self) -> tuple[()]:
        """State beside that of `state`: none."""
        return ()


class KerasOptimizer:
    """A Keras optimizer of the user's; it keeps its own state and learning rate.

    Args:
        optimizer: any `keras.optimizers.Optimizer`.
    """

    signature = None  # never shared

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer

    def state(self, variables: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Build the optimizer for `variables`; it keeps its state to itself."""
        if not self.optimizer.built:
            self.optimizer.build(variables)
        self._variables = list(variables)
        return []

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss to differentiate: scaled where the optimizer scales losses (float16)."""
        return self.optimizer.scale_loss(loss)

    def apply(
        self,
        variables: Sequence[tf.Variable],
        state: Sequence[tf.Variable],
        gradients: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
    ) -> None:
        """Update the variables that the optimizer was built for; the other arguments are not used."""
        self.optimizer.apply(list(gradients), self._variables)

    @property
    def description(self) -> str:
        """What a resumed training must share."""
        return f"{type(self.optimizer).__name__} {self.optimizer.get_config()}"

    @property
    def variables(self) -> list[keras.Variable]:
        """The optimizer's own state, its learning rate among it."""
        return self.optimizer.variables
