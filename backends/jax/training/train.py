"""Distil a teacher into a student: one compiled step, called for every batch."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ...common.arguments import check_label_shape, check_number, check_shapes
from ...common.methods import Objective, resolve
from ...common.training import checkpoints, loop
from ...common.training.batches import rate_schedule
from ...common.training.loop import Plan, check_precision, check_teacher
from ...common.training.result import TrainingResult
from ..losses.rows import compute_type
from ..losses.training_loss import pack_numbers, training_loss
from .optimizers import SGD


def train_student(
    teacher: nnx.Module | None,
    student: nnx.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    hard_weight: float = 1.0,
    learning_rate: float | Callable[[int], float] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nnx.Module, float], Mapping[str, Any] | None] | None = None,
    precision: str = "float32",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    checkpoint_steps: int | None = None,
    fingerprint: str | None = None,
    **parameters: float,
) -> TrainingResult:
    """Train `student` on `batches` with the loss of a distillation method; the module is updated in place.

    Args:
        teacher: called in evaluation mode, never changed; None for method "sft".
        student: any nnx.Module that maps inputs to logits `[..., classes]`; its `nnx.Param`s are trained, its other
            state (batch statistics, dropout's random state) moves along. Left in evaluation mode.
        batches: iterable of (inputs, labels), iterated once an epoch; inputs an array or a pytree of arrays, labels
            `[...]` integers, −100 for rows that do not count. NumPy or JAX arrays.
        method: a name in `backends.common.methods.METHODS`, such as "abkd", "kd", "dkd" or "sft"; whether it has a factor
            temperature² is said there.
        alpha, beta, temperature, distill_weight, hard_weight: the method's parameters (`backends.common.methods.resolve`);
            None takes the method's own. "abkd" needs alpha and beta.
        learning_rate: of SGD with PyTorch's meaning: a number, or a function of the step's number, called on the host.
        optimizer: an optax transformation instead of `learning_rate`.
        momentum, weight_decay: of that SGD; not used with `optimizer`.
        epochs: number of passes over `batches`.
        progress: whether a bar shows steps, the last loss and the time left.
        on_epoch: called after each epoch with its number from 0, the student (up to date, in evaluation mode) and the
            epoch's mean loss; a mapping of plain data that it returns is kept in the result's `epoch_metrics` and in
            checkpoints.
        precision: "float32", which leaves types as they are, or "bfloat16" for the computations of convolutions and
            linear layers; parameters and losses stay float32.
        checkpoint: file to keep the training's state in, and to go on from where it exists: then the result is bit for
            bit that of an uninterrupted run, given the same threads and device
            (`backends.common.training.checkpoints`), and batches that are the same for the same epoch: a list, or an
            object with a method `epoch(epoch, start)`.
        checkpoint_every: epochs between two checkpoints.
        checkpoint_steps: steps between two further ones within an epoch; batches must then know their epochs.
        fingerprint: digest of what only the caller knows to decide the result (data, seed), checked on resuming.
        **parameters: further ones of the method, e.g. gamma of "ttm", non_target_weight and warm_up_epochs of "dkd".

    Returns:
        TrainingResult; status "diverged" where a loss was not finite, at which training stopped.

    Raises:
        ValueError: a bad argument, no batch at all, a one-shot iterator for several epochs, or a checkpoint that does
            not belong here.
    """
    objective = resolve(
        method,
        alpha=alpha,
        beta=beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
        **parameters,
    )
    plan = Plan(
        objective,
        batches,
        rate_schedule(learning_rate, optimizer),
        epochs,
        progress,
        on_epoch,
        checkpoint,
        checkpoint_every,
        checkpoint_steps,
        fingerprint,
    )
    fixed = (check_number("momentum", momentum), check_number("weight_decay", weight_decay))
    run = _Run(check_teacher(objective, teacher), student, objective, optimizer, fixed, check_precision(precision))
    return loop.train(run, student, plan)


@lru_cache(maxsize=16)
def _compiled_step(
    student_parts: tuple, teacher_parts: tuple | None, optimizer: Any, optimizer_parts: Any, loss_parts: tuple
) -> Callable:
    """The training step of one student, teacher, optimiser and objective; α, β and all other numbers are operands."""
    graph, trained_tree, rest_tree = student_parts
    loss_function = training_loss(*loss_parts)

    def step(trained, rest, optimizer_state, teacher_state, inputs, labels, numbers, weights, hyperparameters):
        teacher_logits = None
        if teacher_parts is not None:
            teacher_graph, teacher_tree = teacher_parts
            teacher_logits = nnx.merge(teacher_graph, jax.tree.unflatten(teacher_tree, teacher_state))(inputs)

        def loss_of(trained_leaves):
            model = nnx.merge(graph, jax.tree.unflatten(trained_tree, trained_leaves), jax.tree.unflatten(rest_tree, rest))
            logits = model(inputs)
            check_label_shape(logits.shape, labels.shape)
            if teacher_logits is not None:
                check_shapes(logits.shape, teacher_logits.shape)
            dtype = compute_type(logits.dtype)
            loss = loss_function(logits, teacher_logits, labels, numbers[dtype.name], weights.astype(dtype))
            nnx.pop(model, nnx.Intermediate)
            return loss, jax.tree.leaves(nnx.split(model, nnx.Param, ...)[2])

        (loss, new_rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        parameters, gradients = jax.tree.unflatten(trained_tree, trained), jax.tree.unflatten(trained_tree, gradients)
        state = jax.tree.unflatten(optimizer_parts, optimizer_state)
        extra = {} if optimizer is not SGD else dict(zip(_HYPERPARAMETERS, hyperparameters, strict=True))
        updates, state = optimizer.update(gradients, state, parameters, **extra)
        return (jax.tree.leaves(optax.apply_updates(parameters, updates)), new_rest, jax.tree.leaves(state), loss)

    return jax.jit(step, donate_argnums=(0, 1, 2))


_HYPERPARAMETERS = ("learning_rate", "momentum", "weight_decay")


class _Run:
    """A training run's arrays as flat lists, which a compiled step takes in microseconds."""

    def __init__(self, teacher, student, objective: Objective, optimizer, fixed: tuple[float, float], precision: str):
        self.student, self.fixed, self.precision = student, fixed, precision
        student.train()
        graph, trained, rest = nnx.split(_computing_in(student, precision), nnx.Param, ...)
        trained, rest = jax.tree.map(jnp.copy, (trained, rest))  # the step donates; the caller's arrays stay
        self.trained, self.trained_tree = jax.tree.flatten(trained)
        self.rest, self.rest_tree = jax.tree.flatten(rest)
        if not self.trained:
            raise ValueError("student has no nnx.Param, so there is nothing to train; wrap its weights in nnx.Param")
        self.optimizer = SGD if optimizer is None else optimizer
        self.optimizer_state, optimizer_tree = jax.tree.flatten(self.optimizer.init(trained))
        self.optimizer_state = [jnp.copy(leaf) for leaf in self.optimizer_state]  # states may share an array
        self.teacher_state, teacher_parts = None, None
        if teacher is not None:
            teacher = _computing_in(nnx.clone(teacher), precision)
            teacher.eval()
            teacher_graph, state = nnx.split(teacher)
            self.teacher_state, teacher_tree = jax.tree.flatten(state)
            teacher_parts = (teacher_graph, teacher_tree)
        self.step_function = _compiled_step(
            (graph, self.trained_tree, self.rest_tree),
            teacher_parts,
            self.optimizer,
            optimizer_tree,
            (objective.function, tuple(objective.parameters)),
        )
        types = ("float32", "float64") if jax.config.jax_enable_x64 else ("float32",)
        self.numbers = {name: pack_numbers(objective, np.dtype(name)) for name in types}
        self.weights = (objective.distill_weight, objective.hard_weight)
        self.number_type = types[-1]
        self.signatures = set()

    def compiles(self, inputs: Any, labels: Any) -> bool:
        leaves = jax.tree.leaves((inputs, labels))
        signature = tuple((np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)
        fresh = signature not in self.signatures
        self.signatures.add(signature)
        return fresh

    def step(self, inputs: Any, labels: Any, learning_rate: float | None, factor: float) -> jax.Array:
        rate = 0.0 if learning_rate is None else learning_rate
        hyperparameters = np.array((rate, *self.fixed), self.number_type)
        weights = np.array((factor * self.weights[0], self.weights[1]), self.number_type)
        self.trained, self.rest, self.optimizer_state, loss = self.step_function(
            self.trained,
            self.rest,
            self.optimizer_state,
            self.teacher_state,
            inputs,
            labels,
            self.numbers,
            weights,
            hyperparameters,
        )
        return loss

    def read(self, losses: list[jax.Array]) -> list[float]:
        return [float(loss) for loss in jax.device_get(losses)]

    def begin_epoch(self) -> None:
        """Nothing: the compiled step is in training mode."""

    def end_epoch(self) -> None:
        """Bring the caller's module up to date, in evaluation mode, with copies that no later step donates."""
        arrays = (self.trained, self.rest)
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(arrays)):
            return  # a step was interrupted after it had taken the arrays: the module keeps its last state
        trained, rest = jax.tree.map(jnp.copy, arrays)
        nnx.update(self.student, jax.tree.unflatten(self.trained_tree, trained), jax.tree.unflatten(self.rest_tree, rest))
        self.student.eval()

    def _parts(self) -> dict[str, list[Any]]:
        return {"trained": self.trained, "rest": self.rest, "optimizer": self.optimizer_state}

    def export(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        leaves = {f"{part}/{i}": leaf for part, found in self._parts().items() for i, leaf in enumerate(found)}
        return {name: np.asarray(_plain_array(leaf)) for name, leaf in leaves.items()}, {}

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        for part, leaves in self._parts().items():
            leaves[:] = [_like(arrays[f"{part}/{i}"], leaf) for i, leaf in enumerate(leaves)]

    def settings(self) -> dict[str, Any]:
        teacher = {str(i): np.asarray(_plain_array(leaf)) for i, leaf in enumerate(self.teacher_state or ())}
        shapes = {part: [[str(x.dtype), *x.shape] for x in leaves] for part, leaves in self._parts().items()}
        return {
            # an optax transformation is a pair of functions: only the shape of its state can be told
            "optimizer": f"SGD {self.fixed}" if self.optimizer is SGD else "optax",
            "precision": self.precision,
            "student": shapes,
            "teacher": checkpoints.digest(teacher),
        }

    def surroundings(self) -> dict[str, str]:
        device = jax.devices()[0]
        return {
            "framework": f"jax {jax.__version__}",
            "device": device.device_kind,
            "threads": os.environ.get("NPROC", str(os.cpu_count())),
            "flags": os.environ.get("XLA_FLAGS", ""),
        }


def _computing_in(model: nnx.Module, precision: str) -> nnx.Module:
    """The model, or for "bfloat16" a copy whose convolutions and linear layers compute in it; parameters stay."""
    if precision == "float32":
        return model
    model = nnx.clone(model)
    for _, module in nnx.iter_modules(model):
        if isinstance(module, (nnx.Conv, nnx.Linear, nnx.LinearGeneral, nnx.Einsum)):
            module.dtype = jnp.bfloat16
    return model


def _plain_array(leaf: Any) -> Any:
    """Random keys as the integers that they are made of."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _like(array: np.ndarray, leaf: Any) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return jnp.array(array, dtype=leaf.dtype)


@lru_cache(maxsize=16)
def _compiled_call(graph: Any, tree: Any) -> Callable:
    return jax.jit(lambda leaves, inputs: nnx.merge(graph, jax.tree.unflatten(tree, leaves))(inputs))


def predict(model: nnx.Module, inputs: Any, batch_size: int = 512) -> np.ndarray:
    """Return the model's outputs in evaluation mode; the model itself is not changed.

    Args:
        model: any nnx.Module that maps a batch of inputs to an array `[batch, ...]`.
        inputs: array `[n, ...]` or a pytree of such.
        batch_size: rows at a time. A last, smaller batch is filled up with copies of its first row.
    """
    model = nnx.clone(model)
    model.eval()
    graph, state = nnx.split(model)
    leaves, tree = jax.tree.flatten(state)
    call = _compiled_call(graph, tree)
    rows = len(jax.tree.leaves(inputs)[0])
    outputs = []
    for start in range(0, rows, batch_size):
        batch = jax.tree.map(lambda x, start=start: np.asarray(x[start : start + batch_size]), inputs)
        missing = max(start + batch_size - rows, 0) if rows > batch_size else 0
        if missing:
            batch = jax.tree.map(lambda x, n=missing: np.concatenate([x, np.repeat(x[:1], n, axis=0)]), batch)
        outputs.append(np.asarray(call(leaves, batch))[: rows - start])
    return np.concatenate(outputs)
