"""The optimisers of `common.training.optimizers` by hand, and Keras' own, behind the same functions.

Keras' SGD multiplies the learning rate into the velocity and keeps it in float32, and its AdamW has epsilon within the bias
correction: all of these change the path.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ...common.training.optimizers import SGD, AdamW


def build_optimizer(optimizer: SGD | AdamW, names: Sequence[str]) -> "SgdUpdates | AdamWUpdates":
    """The updates that `optimizer` describes, of variables with these names."""
    return SgdUpdates(optimizer) if isinstance(optimizer, SGD) else AdamWUpdates(optimizer, optimizer.decays(names))


class SgdUpdates:
    """Stochastic gradient descent; its state is one velocity a weight."""

    variables = ()  # state beside that of `state`

    def __init__(self, numbers: SGD) -> None:
        self._numbers = numbers
        self.signature, self.description = numbers, str(numbers)

    def state(self, variables: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Fresh velocities, all zero."""
        return _zeros_like(variables)

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
        """Update `variables` and `state` in place.

        Args:
            variables: the trained weights.
            state: as `state` made it.
            gradients: one per weight.
            learning_rate: float64 scalar, rounded only to the weights' type.
        """
        for variable, velocity, gradient in zip(variables, state, gradients, strict=True):
            momentum = tf.constant(self._numbers.momentum, variable.dtype)
            if self._numbers.weight_decay:
                gradient = gradient + tf.constant(self._numbers.weight_decay, variable.dtype) * variable
            new = momentum * velocity + gradient
            velocity.assign(new)
            step = gradient + momentum * new if self._numbers.nesterov else new
            variable.assign_sub(tf.cast(learning_rate, variable.dtype) * step)


class AdamWUpdates:
    """AdamW; its state is the number of steps, then each weight's mean gradient, then each one's mean square.

    Args:
        numbers: the optimiser.
        decays: whether each weight has weight decay.
    """

    variables = ()  # state beside that of `state`

    def __init__(self, numbers: AdamW, decays: Sequence[bool]) -> None:
        self._numbers, self._decays = numbers, tuple(decays)
        self.signature, self.description = (numbers, self._decays), str(numbers)

    def state(self, variables: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Fresh state, all zero."""
        steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        return [steps, *_zeros_like(variables), *_zeros_like(variables)]

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
        """Update `variables` and `state` in place, see `SgdUpdates.apply`."""
        steps, count = state[0], len(variables)
        time = steps + 1
        steps.assign(time)
        columns = (variables, state[1 : 1 + count], state[1 + count :], gradients, self._decays)
        for variable, mean, square, gradient, decayed in zip(*columns, strict=True):
            dtype = variable.dtype
            rate, exponent = tf.cast(learning_rate, dtype), tf.cast(time, dtype)
            first, second = (tf.constant(beta, dtype) for beta in self._numbers.betas)
            new_mean = first * mean + (1 - first) * gradient
            new_square = second * square + (1 - second) * gradient * gradient
            mean.assign(new_mean)
            square.assign(new_square)
            deviation = tf.sqrt(new_square / (1 - second**exponent)) + tf.constant(self._numbers.epsilon, dtype)
            step = new_mean / (1 - first**exponent) / deviation
            if decayed:
                step += tf.constant(self._numbers.weight_decay, dtype) * variable
            variable.assign_sub(rate * step)


def _zeros_like(variables: Sequence[keras.Variable]) -> list[tf.Variable]:
    return [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]


class KerasUpdates:
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
