"""Distillation as a user of JAX writes it: flax.nnx modules, optax, one jitted step on preloaded arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from backends.common.networks.convolutional import ConvolutionalSpec
from suites.throughput.plain import Images, Plain
from suites.throughput.problems import LEARNING_RATE, Problem


def _conv(channels: int, width: int, size: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(channels, width, (size, size), stride, padding=size // 2, use_bias=False, rngs=rngs)


def _norm(width: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(width, momentum=0.9, epsilon=1e-5, rngs=rngs)


class Block(nnx.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int, rngs: nnx.Rngs) -> None:
        self.conv1, self.bn1 = _conv(channels, width, 3, stride, rngs), _norm(width, rngs)
        self.conv2, self.bn2 = _conv(width, width, 3, 1, rngs), _norm(width, rngs)
        shortcut = stride != 1 or channels != width
        self.shortcut = nnx.Sequential(_conv(channels, width, 1, stride, rngs), _norm(width, rngs)) if shortcut else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features of `[batch, …]` images."""
        out = nnx.relu(self.bn1(self.conv1(x)))
        return nnx.relu(self.bn2(self.conv2(out)) + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """Residual network for images of 32×32."""

    def __init__(self, spec: ConvolutionalSpec) -> None:
        rngs = nnx.Rngs(0)
        self.conv, self.bn = _conv(3, spec.widths[0], 3, 1, rngs), _norm(spec.widths[0], rngs)
        blocks, channels = [], spec.widths[0]
        for stage, width in enumerate(spec.widths[1:]):
            for number in range(spec.blocks):
                blocks.append(Block(channels, width, 2 if stage and not number else 1, rngs))
                channels = width
        self.blocks = nnx.Sequential(*blocks)
        self.fc = nnx.Linear(channels, spec.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits `[batch, classes]`."""
        x = self.blocks(nnx.relu(self.bn(self.conv(x))))
        return self.fc(x.mean((1, 2)))


def distillation_loss(
    student: jax.Array, teacher: jax.Array, labels: jax.Array, method: str, objective: dict[str, float]
) -> jax.Array:
    """The training loss, from probabilities where it is ABKD's."""
    temperature = objective["temperature"]
    hard = optax.softmax_cross_entropy_with_integer_labels(student, labels).mean()
    p = nnx.softmax(teacher / temperature)
    if method == "kd":
        soft = optax.kl_divergence(nnx.log_softmax(student / temperature), p).mean() * temperature**2
    else:
        a, b = objective["alpha"], objective["beta"]
        q = nnx.softmax(student / temperature)
        terms = p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)
        soft = -terms.sum(1).mean() / (a * b)
    return objective["hard_weight"] * hard + objective["distill_weight"] * soft


def prepare(problem: Problem, images: Images) -> Plain:
    """Build the loop."""
    teacher, student = (ResNet(spec) for spec in problem.networks)
    teacher.eval()
    method, objective, recipe = problem.method, problem.objective, problem.recipe
    rule = optax.chain(
        optax.add_decayed_weights(recipe.training["weight_decay"]),
        optax.sgd(LEARNING_RATE, momentum=recipe.training["momentum"]),
    )
    optimizer = nnx.Optimizer(student, rule, wrt=nnx.Param)
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in images.batches]

    @nnx.jit
    def step(student: ResNet, optimizer: nnx.Optimizer, teacher: ResNet, x: jax.Array, y: jax.Array) -> jax.Array:
        teacher_logits = teacher(x)
        loss, gradients = nnx.value_and_grad(lambda model: distillation_loss(model(x), teacher_logits, y, method, objective))(
            student
        )
        optimizer.update(student, gradients)
        return loss

    def loss(*arrays: np.ndarray) -> float:
        return float(distillation_loss(*(jnp.asarray(array) for array in arrays), method, objective))

    return Plain({"plain": _run(step, (student, optimizer, teacher), batches)}, loss, (_count(teacher), _count(student)))


def _run(step: Callable, state: tuple, batches: list) -> Callable[[], None]:
    def run() -> None:
        for x, y in batches:
            loss = step(*state, x, y)
        loss.block_until_ready()

    return run


def _count(model: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
