"""Distil a teacher into a student: one compiled step, called for every batch."""

import time
from collections.abc import Callable, Iterable, Sized
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from backends.arguments import check_label_shape, check_number, check_shapes
from backends.jax.constants import pack
from backends.jax.objectives import objective, pack_weights
from backends.jax.optimizers import SGD
from backends.jax.rows import compute_type
from backends.methods import Objective, resolve
from backends.training_result import TrainingResult

_IGNORED = -100


def train_student(
    teacher: nnx.Module | None,
    student: nnx.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    learning_rate: float | Callable[[int], float] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, nnx.Module, float], None] | None = None,
) -> TrainingResult:
    """Train `student` on `batches` with the loss of a distillation method; the module is updated in place.

    Args:
        teacher: called in evaluation mode, never changed; None for methods without a teacher ("sft").
        student: any nnx.Module that maps inputs to logits `[..., classes]`; its `nnx.Param`s are trained, its other
            state (batch statistics, dropout's random state) moves along. Left in evaluation mode.
        batches: iterable of (inputs, labels), iterated once an epoch; inputs an array or a pytree of arrays, labels
            `[...]` integers, −100 for rows that do not count. NumPy or JAX arrays.
        method: a name in `backends.methods.METHODS`.
        alpha, beta, temperature, distill_weight, hard_weight: the method's parameters (`backends.methods.resolve`).
        learning_rate: of SGD with PyTorch's meaning: a number, or a function of the step's number, called on the host.
        optimizer: an optax transformation instead of `learning_rate`.
        momentum, weight_decay: of that SGD; not used with `optimizer`.
        epochs: number of passes over `batches`.
        progress: whether a bar shows steps, the last epoch's loss and the time left.
        on_epoch: called after each epoch with its number from 0, the student (up to date, in evaluation mode) and the
            epoch's mean loss.

    Returns:
        TrainingResult; status "diverged" where a loss was not finite, after whose epoch training stopped.

    Raises:
        ValueError: a bad argument, no batch at all, or a one-shot iterator for several epochs.
    """
    chosen = resolve(
        method, alpha=alpha, beta=beta, temperature=temperature, distill_weight=distill_weight, hard_weight=hard_weight
    )
    _check_arguments(teacher, chosen, batches, method, learning_rate, optimizer, epochs)
    run = _Run(teacher if chosen.needs_teacher else None, student, chosen, optimizer, momentum, weight_decay)
    result = TrainingResult(student)
    steps = len(batches) * epochs if isinstance(batches, Sized) else None
    losses: list[np.ndarray] = []
    try:
        with tqdm(total=steps, disable=not progress, desc=method, unit="step") as bar:
            for epoch in range(epochs):
                epoch_losses = run.epoch(batches, learning_rate, bar)
                losses.append(epoch_losses)
                if not np.isfinite(epoch_losses).all():
                    result.status = "diverged"
                    losses[-1] = epoch_losses[: int(np.argmin(np.isfinite(epoch_losses))) + 1]
                mean_loss = float(losses[-1].mean())
                result.epoch_losses.append(mean_loss)
                bar.set_postfix(epoch=f"{epoch + 1}/{epochs}", loss=f"{mean_loss:.4g}")
                if result.status == "diverged":
                    break
                if on_epoch is not None:
                    run.write_back(copy=True)
                    on_epoch(epoch, student, mean_loss)
    finally:
        run.write_back()
    result.step_losses = np.concatenate(losses)
    result.step_seconds = run.step_seconds[: result.step_losses.size]
    result.compile_seconds = run.compile_seconds()
    return result


def _check_arguments(
    teacher: Any, chosen: Objective, batches: Any, method: str, learning_rate: Any, optimizer: Any, epochs: int
) -> None:
    if chosen.needs_teacher and teacher is None:
        raise ValueError(f"teacher=None, but method {method!r} needs a teacher; pass one or use method 'sft'")
    if (learning_rate is None) == (optimizer is None):
        raise ValueError(
            f"learning_rate={learning_rate!r} and optimizer={optimizer!r}; pass exactly one of them: a learning rate "
            "(SGD with momentum), or an optax transformation"
        )
    if learning_rate is not None and not callable(learning_rate):
        if check_number("learning_rate", learning_rate) < 0:
            raise ValueError(f"learning_rate={learning_rate!r} is not allowed; it must not be negative")
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is not allowed; it must be a positive integer")
    if epochs > 1 and iter(batches) is batches:
        raise ValueError(
            f"batches is a one-shot iterator, which cannot be read for epochs={epochs}; pass a list or an object whose "
            "__iter__ starts over"
        )


@lru_cache(maxsize=16)
def _compiled_step(student_parts: tuple, teacher_parts: tuple | None, optimizer: Any, optimizer_parts: Any) -> Callable:
    """The training step of one student, teacher and optimiser structure; α, β and all other numbers are operands."""
    graph, trained_tree, rest_tree = student_parts

    def step(trained, rest, optimizer_state, teacher_state, inputs, labels, packed, weights, hyperparameters):
        teacher_logits = None
        if teacher_parts is not None:
            teacher_graph, teacher_tree = teacher_parts
            teacher_logits = nnx.merge(teacher_graph, jax.tree.unflatten(teacher_tree, teacher_state))(inputs)

        def loss_of(trained_leaves):
            model = nnx.merge(
                graph, jax.tree.unflatten(trained_tree, trained_leaves), jax.tree.unflatten(rest_tree, rest)
            )
            logits = model(inputs)
            check_label_shape(logits.shape, labels.shape)
            if teacher_logits is not None:
                check_shapes(logits.shape, teacher_logits.shape)
            dtype = compute_type(logits.dtype)
            loss = objective(_IGNORED, logits, teacher_logits, labels, packed[dtype.name], weights.astype(dtype))
            nnx.pop(model, nnx.Intermediate)
            return loss, jax.tree.leaves(nnx.split(model, nnx.Param, ...)[2])

        (loss, new_rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
        parameters, gradients = jax.tree.unflatten(trained_tree, trained), jax.tree.unflatten(trained_tree, gradients)
        state = jax.tree.unflatten(optimizer_parts, optimizer_state)
        extra = {} if optimizer is not SGD else dict(zip(_HYPERPARAMETERS, hyperparameters, strict=True))
        updates, state = optimizer.update(gradients, state, parameters, **extra)
        return (
            jax.tree.leaves(optax.apply_updates(parameters, updates)),
            new_rest,
            jax.tree.leaves(state),
            loss,
        )

    return jax.jit(step, donate_argnums=(0, 1, 2))


_HYPERPARAMETERS = ("learning_rate", "momentum", "weight_decay")


class _Run:
    """A training run's arrays as flat lists, which a compiled step takes in microseconds."""

    def __init__(self, teacher, student, chosen: Objective, optimizer, momentum: float, weight_decay: float):
        self.student = student
        student.train()
        graph, trained, rest = nnx.split(student, nnx.Param, ...)
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
            teacher = nnx.clone(teacher)
            teacher.eval()
            teacher_graph, state = nnx.split(teacher)
            self.teacher_state, teacher_tree = jax.tree.flatten(state)
            teacher_parts = (teacher_graph, teacher_tree)
        self.step = _compiled_step(
            (graph, self.trained_tree, self.rest_tree), teacher_parts, self.optimizer, optimizer_tree
        )
        types = ("float32", "float64") if jax.config.jax_enable_x64 else ("float32",)
        self.packed = {name: pack(chosen.alpha, chosen.beta, chosen.temperature, np.dtype(name)) for name in types}
        self.weights = pack_weights(chosen.distill_weight, chosen.hard_weight, np.dtype(types[-1]))
        self.fixed = (check_number("momentum", momentum), check_number("weight_decay", weight_decay))
        self.number_type = types[-1]
        self.steps, self.step_seconds, self.first_seconds = 0, [], []
        self.signatures = set()

    def epoch(self, batches: Iterable, learning_rate: Any, bar: tqdm) -> np.ndarray:
        """Run all batches and return their losses; only steps that compile are waited for one by one."""
        losses, started, first_seconds = [], time.perf_counter(), 0.0
        for inputs, labels in batches:
            leaves = jax.tree.leaves((inputs, labels))
            signature = tuple((np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)
            rate = learning_rate(self.steps) if callable(learning_rate) else learning_rate
            hyperparameters = np.array((0.0 if rate is None else rate, *self.fixed), self.number_type)
            fresh = signature not in self.signatures
            if fresh:
                self.signatures.add(signature)
                jax.block_until_ready(losses)
                begin = time.perf_counter()
            self.trained, self.rest, self.optimizer_state, loss = self.step(
                self.trained, self.rest, self.optimizer_state, self.teacher_state, inputs, labels, self.packed,
                self.weights, hyperparameters,
            )  # fmt: skip
            losses.append(loss)
            if fresh:
                jax.block_until_ready(loss)
                self.first_seconds.append(time.perf_counter() - begin)
                first_seconds += self.first_seconds[-1]
            self.steps += 1
            bar.update()
        if not losses:
            raise ValueError("batches is empty; it must yield at least one (inputs, labels) each time it is iterated")
        values = np.array(jax.device_get(losses), np.float64)
        later = len(losses) - (len(self.first_seconds) if self.steps == len(losses) else 0)
        elapsed = time.perf_counter() - started - first_seconds
        self.step_seconds += [max(elapsed, 0.0) / max(later, 1)] * len(losses)
        return values

    def compile_seconds(self) -> float:
        """Time of the first step of each shape of batch beyond that of a usual one."""
        usual = float(np.median(self.step_seconds)) if self.steps > len(self.first_seconds) else 0.0
        return sum(max(seconds - usual, 0.0) for seconds in self.first_seconds)

    def write_back(self, copy: bool = False) -> None:
        """Bring the caller's module up to date, in evaluation mode; `copy` keeps its arrays from later donation."""
        arrays = (self.trained, self.rest)
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(arrays)):
            return  # a step was interrupted after it had taken the arrays: the module keeps its last state
        trained, rest = jax.tree.map(jnp.copy, arrays) if copy else arrays
        nnx.update(
            self.student, jax.tree.unflatten(self.trained_tree, trained), jax.tree.unflatten(self.rest_tree, rest)
        )
        self.student.eval()


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
