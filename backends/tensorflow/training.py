"""Train a student against a teacher: for models and data of the user's own, and for the harness itself.

One compiled step serves every student of one architecture: weights, velocities and the loss's parameters are arguments
of the step, and the models are called statelessly. Nothing of a student stays in it.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from backends.batches import batch_pair, check_batches, rate_schedule, split_compile_time
from backends.methods import Objective, resolve
from backends.tensorflow.alpha_beta import pack_parameters, packed_ab_divergence
from backends.tensorflow.models import build_model
from backends.tensorflow.objectives import cross_entropy
from backends.tensorflow.optimizers import SGD, KerasOptimizer
from backends.tensorflow.rows import compute_type
from backends.training_result import TrainingResult

IGNORED_LABEL = -100
_shared_steps: dict[Any, tf.types.experimental.PolymorphicFunction] = {}


def train_student(
    teacher: keras.Model | None,
    student: keras.Model,
    batches: Iterable[tuple[Any, Any]],
    *,
    method: str = "abkd",
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
    learning_rate: float | Callable[[int], float] | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, keras.Model, float], None] | None = None,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs.

    Args:
        teacher: returns logits `[..., C]`; called with training=False, a constant. None for method "sft".
        student: the same outputs; trained in place. Losses of its own (regularisers) are added.
        batches: (inputs, labels) pairs, gone through once an epoch: a `tf.data.Dataset` or any iterable; labels
            `[...]`, −100 leaves a row out.
        method: "abkd", "kd", "rkld" or "sft" (`backends.methods`; KD and RKLD carry the factor temperature²).
        alpha, beta: for "abkd".
        temperature, distill_weight, hard_weight: see `ABKDLoss`.
        learning_rate: for SGD with `momentum` and `weight_decay` (PyTorch's meaning); a number, or a function of
            the step.
        optimizer: instead of `learning_rate`, a Keras optimizer.
        epochs: passes over `batches`.
        progress: show a bar with the loss and the time left.
        on_epoch: called after each epoch with (epoch, student, mean loss).

    Returns:
        The trained student with losses and times.

    Raises:
        ValueError: unknown method, bad parameters, both or neither of learning_rate and optimizer, batches that cannot
            be gone through `epochs` times or are empty.

    Source: Eq. 7 of Wang et al., "ABKD", ICML 2025.
    """
    objective = resolve(
        method,
        alpha=alpha,
        beta=beta,
        temperature=temperature,
        distill_weight=distill_weight,
        hard_weight=hard_weight,
    )
    check_batches(batches, epochs)
    rate = rate_schedule(learning_rate, optimizer)
    if objective.needs_teacher and teacher is None:
        raise ValueError(f"teacher=None, but method {method!r} needs one; method 'sft' does without")
    updates = SGD(momentum, weight_decay) if optimizer is None else KerasOptimizer(optimizer)
    step = _Step(teacher if objective.needs_teacher else None, student, updates, objective)
    result = TrainingResult(student)
    first_seconds, losses = 0.0, []
    with tqdm(total=_step_count(batches, epochs), desc=method, unit="step", disable=not progress, leave=False) as bar:
        for epoch in range(epochs):
            epoch_start = time.perf_counter()
            pending: list[tf.Tensor] = []
            for batch in batches:
                pending.append(step(*batch_pair(batch), 0.0 if rate is None else rate(len(losses) + len(pending))))
                if epoch == 0 and len(pending) == 1:
                    pending[0].numpy()
                    first_seconds = time.perf_counter() - epoch_start
                bar.update()
            if not pending:
                raise ValueError("batches is empty; at least one (inputs, labels) pair is needed")
            losses += tf.stack(pending).numpy().astype(np.float64).tolist()  # waits for the device, once an epoch
            seconds = time.perf_counter() - epoch_start - (first_seconds if epoch == 0 else 0.0)
            counted = len(pending) - (epoch == 0)
            result.step_seconds += [seconds / counted] * counted if counted else []
            mean = math.fsum(losses[-len(pending) :]) / len(pending)
            result.epoch_losses.append(mean)
            bar.set_postfix(epoch=epoch + 1, loss=f"{mean:.4g}")
            if not math.isfinite(mean):
                result.status = "diverged"
                break
            if on_epoch is not None:
                on_epoch(epoch, student, mean)
    result.step_losses = np.asarray(losses)
    result.compile_seconds = split_compile_time(first_seconds, result.step_seconds)
    return result


def _step_count(batches: Iterable[Any], epochs: int) -> int | None:
    """Steps of the whole run where the batches know their number."""
    try:
        return epochs * len(batches)
    except TypeError:  # a generator, or a dataset of unknown or infinite length
        return None


class _Step:
    """One update of one student; called with a batch it returns the loss before the update, left on the device."""

    def __init__(
        self, teacher: keras.Model | None, student: keras.Model, updates: SGD | KerasOptimizer, objective: Objective
    ) -> None:
        self._teacher, self._student, self._updates, self._objective = teacher, student, updates, objective
        self._arguments: tuple[Any, ...] | None = None
        self._traced: set[Any] = set()

    def __call__(self, inputs: Any, labels: Any, learning_rate: float) -> tf.Tensor:
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        labels = tf.convert_to_tensor(labels)
        if not labels.dtype.is_integer:
            raise TypeError(f"labels has type {labels.dtype.name}; class indices must be integers")
        if self._arguments is None:
            self._prepare(inputs)
        specs = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), (inputs, labels))
        scalar = tf.constant(learning_rate, tf.float64)
        key = str(specs)
        if key not in self._traced:  # one trace for every batch size
            self._function.get_concrete_function(*self._arguments, scalar, *specs)
            self._traced.add(key)
        return self._function(*self._arguments, scalar, inputs, labels)

    def _prepare(self, inputs: Any) -> None:
        """Collect what the compiled step takes as arguments."""
        student, teacher, objective = self._student, self._teacher, self._objective
        for model in (student, teacher):
            if model is not None and not model.built:
                model(inputs, training=False)
        teacher_variables = () if teacher is None else (*teacher.trainable_variables, *teacher.non_trainable_variables)
        self._arguments = (
            [v.value for v in student.trainable_variables],
            [v.value for v in student.non_trainable_variables],
            [v.value for v in teacher_variables],
            self._updates.state(student.trainable_variables),
            pack_parameters(objective.alpha, objective.beta, objective.temperature),
            tf.constant([objective.distill_weight, objective.hard_weight], tf.float64),
        )
        shared = getattr(student, "architecture", None), getattr(teacher, "architecture", None)
        whole = all(layer.trainable for m in (student, teacher) if m is not None for layer in m.layers)
        key = (*shared, objective.needs_teacher, objective.hard_weight == 0, self._updates.signature)
        known = shared[0] is not None and (teacher is None or shared[1] is not None) and whole
        if not known or self._updates.signature is None:
            self._function = _compile_step(teacher, student, self._updates, objective)
        else:
            if key not in _shared_steps:
                built = [None if which is None else build_model(which[0], dtype=which[1]) for which in shared[::-1]]
                _shared_steps[key] = _compile_step(*built, self._updates, objective)
            self._function = _shared_steps[key]


def _compile_step(
    teacher: keras.Model | None, student: keras.Model, updates: SGD | KerasOptimizer, objective: Objective
) -> tf.types.experimental.PolymorphicFunction:
    """Compile one update of any student with the structure of `student`; the models' own weights are not used."""
    has_hard_term = objective.hard_weight != 0

    def loss_of(logits: tf.Tensor, inputs: Any, labels: tf.Tensor, teacher_values: list, packed: tf.Tensor,
                weights: tf.Tensor) -> tf.Tensor:  # fmt: skip
        loss = tf.zeros([], compute_type(logits.dtype))
        if has_hard_term:
            loss += tf.cast(weights[1], loss.dtype) * cross_entropy(logits, labels, ignore_index=IGNORED_LABEL)
        if teacher is not None:
            variables = (*teacher.trainable_variables, *teacher.non_trainable_variables)
            with keras.StatelessScope(zip(variables, teacher_values, strict=True)):
                teacher_logits = teacher(inputs, training=False)
            counted = tf.not_equal(labels, IGNORED_LABEL)
            distill = packed_ab_divergence(logits, tf.stop_gradient(teacher_logits), packed, counted, "mean")
            loss += tf.cast(weights[0], loss.dtype) * distill
        return loss

    def step(trained: list, kept: list, teacher_variables: list, state: list, packed: tf.Tensor, weights: tf.Tensor,
             learning_rate: tf.Tensor, inputs: Any, labels: tf.Tensor) -> tf.Tensor:  # fmt: skip
        values = [tf.convert_to_tensor(v) for v in trained]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            kept_values = [tf.convert_to_tensor(v) for v in kept]
            mapping = [
                *zip(student.trainable_variables, values, strict=True),
                *zip(student.non_trainable_variables, kept_values, strict=True),
            ]
            # not `stateless_call`, which goes past `__call__` and what that does to types and arguments
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                logits = student(inputs, training=True)
                own_losses = student.losses
            teacher_values = [tf.convert_to_tensor(v) for v in teacher_variables]
            loss = loss_of(logits, inputs, labels, teacher_values, packed, weights)
            for own in own_losses:
                loss += tf.cast(own, loss.dtype)
            scaled = updates.scale_loss(loss)
        gradients = tape.gradient(scaled, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        updates.apply(trained, state, gradients, learning_rate)
        for variable, ours in zip(kept, student.non_trainable_variables, strict=True):
            variable.assign(scope.get_current_value(ours))
        return loss

    return tf.function(step, autograph=False)


def predict(model: keras.Model, inputs: Any, batch_size: int = 512) -> tf.Tensor:
    """Logits of all `inputs` `[rows, …]` in evaluation mode, `batch_size` rows at a time."""
    pieces = [model(inputs[i : i + batch_size], training=False) for i in range(0, len(inputs), batch_size)]
    return tf.concat(pieces, 0)
