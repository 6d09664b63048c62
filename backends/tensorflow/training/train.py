"""Train a student against a teacher: for models and data of the user's own, and for the harness itself.

One compiled step serves every student of one architecture: weights, velocities and the loss's parameters are arguments
of the step, and the models are called statelessly. Nothing of a student stays in it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...common.methods import Objective
from ...common.terms import labels_of
from ...common.training import checkpoints
from ...common.training.batches import Batch
from ...common.training.optimizers import OPTIMIZERS, SGD, AdamW
from ...common.training.result import TrainingResult
from ...common.training.student import start_training, with_common_arguments
from ..losses.training_loss import Operands, operands, signature, training_loss
from ..models import build_model
from ..models.weights import parameter_name
from .optimizers import AdamWUpdates, KerasUpdates, SgdUpdates, build_optimizer

Updates = SgdUpdates | AdamWUpdates | KerasUpdates
_shared_steps: dict[Any, tf.types.experimental.PolymorphicFunction] = {}
_shared_calls: dict[Any, tf.types.experimental.PolymorphicFunction] = {}


@with_common_arguments
def train_student(
    teacher: keras.Model | None,
    student: keras.Model,
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
    optimizer: keras.optimizers.Optimizer | SGD | AdamW | None = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 1,
    progress: bool = True,
    on_epoch: Callable[[int, keras.Model, float], Mapping[str, Any] | None] | None = None,
    ask: Callable[..., Any] | None = None,
    precision: str = "float32",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    checkpoint_steps: int | None = None,
    fingerprint: str | None = None,
    **parameters: float,
) -> TrainingResult:
    """Train `student` on labels and on the teacher's outputs.

    Args:
        teacher: returns logits `[..., C]`; called with training=False, a constant. None for methods without one.
        student: the same outputs; trained in place. Losses of its own (regularisers) are added.
        batches: (inputs, labels) pairs, gone through once an epoch: a `tf.data.Dataset` or any iterable; labels
            `[...]`, −100 leaves a row out. `common.training.batches` has more: batches with a part beside, and live ones,
            which are made with the student as it is.
        optimizer: instead of `learning_rate`, a Keras optimizer; or, with it, SGD or AdamW of
            `common.training.optimizers`.
        precision: "float32", which leaves types as they are, or "bfloat16" for the computations of convolutions and
            dense layers; weights and losses stay float32.
    """
    return start_training(_Run, _ask, locals())


def _ask(student: keras.Model, teacher: keras.Model | None, inputs: Any) -> tf.Tensor:
    return predict(student, inputs)


class _Run:
    """A training's state: the student's own variables, and the optimizer's."""

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        objective: Objective,
        optimizer: keras.optimizers.Optimizer | SGD | AdamW,
        precision: str,
    ) -> None:
        self._teacher, self._student, self._objective, self._precision = teacher, student, objective, precision
        self._optimizer = optimizer
        self._arguments: tuple[Any, ...] | None = None
        self._operands: dict[float, Operands] = {}
        self._traced: set[Any] = set()
        if all(model.built for model in (student, teacher) if model is not None):
            self._prepare()

    def compiles(self, batch: Batch) -> bool:
        return _specification(_tensors(batch)) not in self._traced

    def step(self, batch: Batch, learning_rate: float | None, factor: float) -> tf.Tensor:
        batch = _tensors(batch)
        if not all(tensor.dtype.is_integer for tensor in _labels(batch)):
            raise TypeError(f"labels has type {batch[1].dtype.name}; class indices must be integers")
        if self._arguments is None:
            for model in (self._student, self._teacher):
                if model is not None and not model.built:
                    model(batch[0], training=False)
            self._prepare()
        if factor not in self._operands:
            self._operands = {factor: operands(self._objective, "float64", factor)}
        numbers = self._operands[factor], tf.constant(0.0 if learning_rate is None else learning_rate, tf.float64)
        key = _specification(batch)
        if key not in self._traced:  # one trace for every batch size
            self._function.get_concrete_function(*self._arguments, *numbers, key.structure)
            self._traced.add(key)
        return self._function(*self._arguments, *numbers, batch)

    def _prepare(self) -> None:
        """Collect what the compiled step takes as arguments, and the step itself, shared where it can be."""
        student, teacher, objective = self._student, self._teacher, self._objective
        self._updates: Updates = KerasUpdates(self._optimizer)
        if isinstance(self._optimizer, OPTIMIZERS):
            names = [parameter_name(student, variable) for variable in student.trainable_variables]
            self._updates = build_optimizer(self._optimizer, names)
        teacher_variables = () if teacher is None else (*teacher.trainable_variables, *teacher.non_trainable_variables)
        self._optimizer_state = self._updates.state(student.trainable_variables)
        self._arguments = (
            [v.value for v in student.trainable_variables],
            [v.value for v in student.non_trainable_variables],
            [v.value for v in teacher_variables],
            self._optimizer_state,
        )
        shared = getattr(student, "architecture", None), getattr(teacher, "architecture", None)
        whole = all(layer.trainable for m in (student, teacher) if m is not None for layer in m.layers)
        key = (*shared, *signature(objective), self._precision, self._updates.signature)
        known = shared[0] is not None and (teacher is None or shared[1] is not None) and whole
        if not known or self._updates.signature is None:
            self._function = _compile_step(teacher, student, self._updates, objective, self._precision)
        else:
            if key not in _shared_steps:
                built = [None if which is None else build_model(which[0], dtype=which[1]) for which in shared[::-1]]
                _shared_steps[key] = _compile_step(*built, self._updates, objective, self._precision)
            self._function = _shared_steps[key]

    def read(self, losses: list[tf.Tensor]) -> list[float]:
        return tf.stack(losses).numpy().astype(np.float64).tolist()

    def begin(self) -> None:
        """Nothing: the compiled step is in training mode."""

    def settle(self) -> None:
        """Nothing: the student's variables are its own."""

    def _variables(self) -> dict[str, Any]:
        """All state by name; what a Keras optimizer keeps, too."""
        groups = {
            "trained": self._student.trainable_variables,
            "kept": self._student.non_trainable_variables,
            "optimizer": [*self._optimizer_state, *self._updates.variables],
        }
        return {f"{group}/{i}": v for group, variables in groups.items() for i, v in enumerate(variables)}

    def export(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {name: _to_array(v) for name, v in self._variables().items()}, {}

    def restore(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        for name, variable in self._variables().items():
            variable.assign(tf.constant(arrays[name]))

    def settings(self) -> dict[str, Any]:
        if self._arguments is None:
            raise ValueError(
                "checkpoint=… needs models whose weights exist before training starts, and student or teacher has none "
                "yet: call them once on a batch of inputs, or give their first layer an input shape"
            )
        teacher = () if self._teacher is None else self._teacher.variables
        return {
            "optimizer": self._updates.description,
            "precision": self._precision,
            "student": [[str(v.dtype), *v.shape] for v in self._student.variables],
            "teacher": checkpoints.digest({str(i): _to_array(v) for i, v in enumerate(teacher)}),
        }

    def surroundings(self) -> dict[str, str]:
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        device = next(iter(self._student.trainable_variables)).value.device
        return {
            "framework": f"tensorflow {tf.__version__}, keras {keras.__version__}",
            "device": device.rpartition("/")[2],
            "threads": str(threads or "all"),
        }


def _to_array(variable: keras.Variable | tf.Variable) -> np.ndarray:
    """A copy of a variable's values."""
    return np.array(tf.convert_to_tensor(variable).numpy())


class _Specification(tuple):
    """Types and shapes of a batch but for the number of rows, as a key and as `tf.TensorSpec`s."""

    structure: Any


def _specification(batch: Batch) -> _Specification:
    structure = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), batch)
    key = _Specification((str(structure),))
    key.structure = structure
    return key


def _tensors(batch: Batch) -> Batch:
    return tf.nest.map_structure(tf.convert_to_tensor, batch)


def _labels(batch: Batch) -> list[tf.Tensor]:
    """The labels of a batch and of its part beside."""
    return [labels_of(targets) for _, targets in (batch[:2], *batch[2:])]


class _Called:
    """A network with variables of others in place of its own, as the loss calls it."""

    def __init__(self, model: keras.Model, training: bool, values: Iterable[tuple[keras.Variable, tf.Tensor]] = ()) -> None:
        self._model, self._training, self._values = model, training, list(values)

    def __call__(self, inputs: Any) -> tf.Tensor:
        # not `stateless_call`, which goes past `__call__` and what that does to types and arguments
        with self._scope():
            return self._model(inputs, training=self._training)

    def heads(self, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        with self._scope():
            return self._model.heads(inputs, training=self._training)

    def _scope(self) -> AbstractContextManager:
        return keras.StatelessScope(self._values) if self._values else nullcontext()


def _compile_step(
    teacher: keras.Model | None, student: keras.Model, updates: Updates, objective: Objective, precision: str
) -> tf.types.experimental.PolymorphicFunction:
    """Compile one update of any student with the structure of `student`; the models' own weights are not used."""
    loss_of = training_loss(objective)

    def step(
        trained: list,
        kept: list,
        teacher_variables: list,
        state: list,
        operands: Operands,
        learning_rate: tf.Tensor,
        batch: Batch,
    ) -> tf.Tensor:
        values = [tf.convert_to_tensor(v) for v in trained]
        teaching = None
        if teacher is not None:
            variables = (*teacher.trainable_variables, *teacher.non_trainable_variables)
            teacher_values = [tf.convert_to_tensor(v) for v in teacher_variables]
            teaching = _Called(teacher, False, zip(variables, teacher_values, strict=True))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            kept_values = [tf.convert_to_tensor(v) for v in kept]
            mapping = [
                *zip(student.trainable_variables, values, strict=True),
                *zip(student.non_trainable_variables, kept_values, strict=True),
            ]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                loss = loss_of(_Called(student, True), teaching, batch, operands)
                student_losses = student.losses
            for further in student_losses:
                loss += tf.cast(further, loss.dtype)
            scaled = updates.scale_loss(loss)
        gradients = tape.gradient(scaled, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        updates.apply(trained, state, gradients, learning_rate)
        for variable, ours in zip(kept, student.non_trainable_variables, strict=True):
            variable.assign(scope.get_current_value(ours))
        return loss

    def traced(*arguments: Any) -> tf.Tensor:
        with _computing_in(precision, student, teacher):
            return step(*arguments)

    return tf.function(traced, autograph=False)


@contextmanager
def _computing_in(precision: str, *models: keras.Model | None) -> Iterator[None]:
    """For "bfloat16", let convolutions and dense layers compute in it as long as this lasts; weights stay as they are."""
    changed = []
    if precision == "bfloat16":
        layers = [layer for model in models if model is not None for layer in model._flatten_layers()]
        changed = [(layer, layer.dtype_policy) for layer in layers if hasattr(layer, "kernel")]
    try:
        for layer, _ in changed:
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
        yield
    finally:
        for layer, policy in changed:
            layer.dtype_policy = policy


def predict(model: keras.Model, inputs: Any, batch_size: int = 512) -> tf.Tensor:
    """Logits of all `inputs` `[rows, …]` in evaluation mode, `batch_size` rows at a time.

    Keras keeps what every layer gave until an eager call ends: 3.9 GB for 512 images through resnet56. A compiled call
    holds 170 MB and takes half the time.
    """
    call, variables = _compiled_call(model), [v.value for v in model.variables]
    pieces = [call(variables, inputs[i : i + batch_size]) for i in range(0, len(inputs), batch_size)]
    return tf.concat(pieces, 0)


def _compiled_call(model: keras.Model) -> Callable[[list, Any], tf.Tensor]:
    """(variables, inputs) → logits of any model with the architecture of `model`; `model` itself where it names none."""
    shared = getattr(model, "architecture", None)
    if shared is None:
        return lambda variables, inputs: model(inputs, training=False)
    if shared not in _shared_calls:
        built = build_model(shared[0], dtype=shared[1])

        def call(variables: list, inputs: tf.Tensor) -> tf.Tensor:
            with keras.StatelessScope(zip(built.variables, map(tf.convert_to_tensor, variables), strict=True)):
                return built(inputs, training=False)

        _shared_calls[shared] = tf.function(call, autograph=False, reduce_retracing=True)
    return _shared_calls[shared]
