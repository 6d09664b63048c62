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

from ...common.methods import Objective
from ...common.training import checkpoints
from ...common.training.batches import Batch
from ...common.training.optimizers import OPTIMIZERS, SGD, AdamW
from ...common.training.result import TrainingResult
from ...common.training.student import start_training, with_common_arguments
from ..losses.training_loss import operands, training_loss
from ..models.weights import parameter_names
from .optimizers import build_optimizer, hyperparameters


@with_common_arguments
def train_student(
    teacher: nnx.Module | None,
    student: nnx.Module,
    batches: Iterable[Batch],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    hard_weight: float = 1.0,
    beside_weight: float | None = None,
    learning_rate: float | Callable[..., float] | None = None,
    optimizer: optax.GradientTransformation | SGD | AdamW | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nnx.Module, float], Mapping[str, Any] | None] | None = None,
    ask: Callable[..., Any] | None = None,
    precision: str = "float32",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    checkpoint_steps: int | None = None,
    fingerprint: str | None = None,
    **parameters: float,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs; the module is updated in place.

    Args:
        teacher: called in evaluation mode, never changed; None for methods without one.
        student: any nnx.Module that maps inputs to logits `[..., classes]`; its `nnx.Param`s are trained, its other
            state (batch statistics, dropout's random state) moves along. Left in evaluation mode.
        batches: iterable of (inputs, labels), iterated once an epoch; inputs an array or a pytree of arrays, labels
            `[...]` integers, −100 for rows that do not count. NumPy or JAX arrays. `common.training.batches` has more:
            batches with a part beside, and live ones, which are made with the student as it is.
        optimizer: an optax transformation instead of `learning_rate`; or, with it, SGD or AdamW of
            `common.training.optimizers`.
        precision: "float32", which leaves types as they are, or "bfloat16" for the computations of convolutions and
            linear layers; parameters and losses stay float32.
    """
    return start_training(_Run, _ask, locals())


def _ask(student: nnx.Module, teacher: nnx.Module | None, inputs: Any) -> np.ndarray:
    return predict(student, inputs)


@lru_cache(maxsize=16)
def _compiled_step(
    student_parts: tuple, teacher_parts: tuple | None, optimizer: Any, optimizer_tree: Any, takes_numbers: bool, loss: Callable
) -> Callable:
    """The training step of one student, teacher, optimiser and loss; α, β and all other numbers are operands."""
    graph, trained_tree, rest_tree = student_parts

    def step(trained, rest, optimizer_state, teacher_state, batch, operands, numbers):
        def loss_of(trained_leaves):
            teacher = None
            if teacher_parts is not None:
                teacher_graph, teacher_tree = teacher_parts
                teacher = nnx.merge(teacher_graph, jax.tree.unflatten(teacher_tree, teacher_state))
            student = nnx.merge(graph, jax.tree.unflatten(trained_tree, trained_leaves), jax.tree.unflatten(rest_tree, rest))
            value = loss(student, teacher, batch, operands)
            nnx.pop(student, nnx.Intermediate)
            return value, jax.tree.leaves(nnx.split(student, nnx.Param, ...)[2])

        (value, new_rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        parameters, gradients = jax.tree.unflatten(trained_tree, trained), jax.tree.unflatten(trained_tree, gradients)
        state = jax.tree.unflatten(optimizer_tree, optimizer_state)
        extra = {"numbers": numbers} if takes_numbers else {}
        updates, state = optimizer.update(gradients, state, parameters, **extra)
        return (jax.tree.leaves(optax.apply_updates(parameters, updates)), new_rest, jax.tree.leaves(state), value)

    return jax.jit(step, donate_argnums=(0, 1, 2))


class _Run:
    """A training's state: arrays as flat lists, which a compiled step takes in microseconds."""

    def __init__(
        self,
        teacher: nnx.Module | None,
        student: nnx.Module,
        objective: Objective,
        optimizer: optax.GradientTransformation | SGD | AdamW,
        precision: str,
    ) -> None:
        self._teacher, self._student, self._objective, self._precision = teacher, student, objective, precision
        self._type = "float64" if jax.config.jax_enable_x64 else "float32"
        student.train()
        graph, trained, rest = nnx.split(_computing_in(student, precision), nnx.Param, ...)
        trained, rest = jax.tree.map(jnp.copy, (trained, rest))  # the step donates; the caller's arrays stay
        self._trained, self._trained_tree = jax.tree.flatten(trained)
        self._rest, self._rest_tree = jax.tree.flatten(rest)
        if not self._trained:
            raise ValueError("student has no nnx.Param, so there is nothing to train; wrap its weights in nnx.Param")
        # an optax transformation is a pair of functions: only the shape of its state can be told
        self._description, self._hyperparameters = "optax", ()
        described = isinstance(optimizer, OPTIMIZERS)
        if described:
            self._description, self._hyperparameters = str(optimizer), hyperparameters(optimizer)
            decays = optimizer.decays(parameter_names(trained)) if isinstance(optimizer, AdamW) else ()
            optimizer = build_optimizer(type(optimizer), getattr(optimizer, "nesterov", False), decays)
        self._optimizer_state, optimizer_tree = jax.tree.flatten(optimizer.init(trained))
        self._optimizer_state = [jnp.copy(leaf) for leaf in self._optimizer_state]  # states may share an array
        self._teacher_state, teacher_parts = None, None
        if teacher is not None:
            teacher = _computing_in(nnx.clone(teacher), precision)
            teacher.eval()
            teacher_graph, state = nnx.split(teacher)
            self._teacher_state, teacher_tree = jax.tree.flatten(state)
            teacher_parts = (teacher_graph, teacher_tree)
        student_parts = (graph, self._trained_tree, self._rest_tree)
        loss = training_loss(objective)
        self._function = _compiled_step(student_parts, teacher_parts, optimizer, optimizer_tree, described, loss)
        self._operands, self._traced = {}, set()

    def compiles(self, batch: Batch) -> bool:
        leaves = jax.tree.leaves(batch)
        signature = tuple((np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)
        fresh = signature not in self._traced
        self._traced.add(signature)
        return fresh

    def step(self, batch: Batch, learning_rate: float | None, factor: float) -> jax.Array:
        rate = 0.0 if learning_rate is None else learning_rate
        if factor not in self._operands:
            self._operands = {factor: operands(self._objective, self._type, factor)}
        self._trained, self._rest, self._optimizer_state, loss = self._function(
            self._trained,
            self._rest,
            self._optimizer_state,
            self._teacher_state,
            batch,
            self._operands[factor],
            np.array((rate, *self._hyperparameters), self._type),
        )
        return loss

    def read(self, losses: list[jax.Array]) -> list[float]:
        return [float(loss) for loss in jax.device_get(losses)]

    def begin(self) -> None:
        """Nothing: the compiled step is in training mode."""

    def settle(self) -> None:
        """Bring the caller's module up to date, in evaluation mode, with copies that no later step donates."""
        arrays = (self._trained, self._rest)
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(arrays)):
            return  # a step was interrupted after it had taken the arrays: the module keeps its last state
        trained, rest = jax.tree.map(jnp.copy, arrays)
        nnx.update(self._student, jax.tree.unflatten(self._trained_tree, trained), jax.tree.unflatten(self._rest_tree, rest))
        self._student.eval()

    def _parts(self) -> dict[str, list[Any]]:
        return {"trained": self._trained, "rest": self._rest, "optimizer": self._optimizer_state}

    def export(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        leaves = {f"{part}/{i}": leaf for part, arrays in self._parts().items() for i, leaf in enumerate(arrays)}
        return {name: np.asarray(_plain_array(leaf)) for name, leaf in leaves.items()}, {}

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        for part, leaves in self._parts().items():
            leaves[:] = [_like(arrays[f"{part}/{i}"], leaf) for i, leaf in enumerate(leaves)]

    def settings(self) -> dict[str, Any]:
        teacher = {str(i): np.asarray(_plain_array(leaf)) for i, leaf in enumerate(self._teacher_state or ())}
        shapes = {part: [[str(x.dtype), *x.shape] for x in leaves] for part, leaves in self._parts().items()}
        return {
            "optimizer": self._description,
            "precision": self._precision,
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
