"""ABKD's training loss for `model.compile` and `fit`, whose targets carry the labels and the teacher's logits."""

from typing import Any

import keras
import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_no_output, check_reduction
from .abkd import ABKDLoss

# by the names of this project, what Keras calls the same: its "mean" divides by the number of rows whatever they weigh
_REDUCTIONS = {"mean": "mean_with_sample_weight", "sum": "sum", "none": "none"}


def pack_targets(labels: Any, teacher_logits: Any) -> tf.Tensor:
    """Targets `[..., C + 1]` for `KerasABKDLoss`: the teacher's logits, and the labels behind them.

    Keras wants targets of a model with one output to be one tensor, which is batched, shuffled and sent to devices as such;
    a dict would have to have the structure of the outputs. The type is float64 where the logits are, else float32, in which
    labels below 2²⁴ are exact.

    Args:
        labels: integers `[...]`.
        teacher_logits: `[..., C]`.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: labels that are not integers.
    """
    check_no_output("teacher_logits", teacher_logits)
    logits, labels = tf.convert_to_tensor(teacher_logits), tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise TypeError(f"labels has type {labels.dtype.name}; class indices must be integers")
    if not labels.shape.is_compatible_with(logits.shape[:-1]):
        raise ValueError(f"labels has shape {labels.shape} and teacher_logits {logits.shape}; one label for each row is needed")
    dtype = tf.float64 if logits.dtype == tf.float64 else tf.float32
    return tf.concat([tf.cast(logits, dtype), tf.cast(labels, dtype)[..., None]], axis=-1)


def unpack_targets(targets: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The labels, int32, and the teacher's logits of `pack_targets`."""
    targets = tf.convert_to_tensor(targets)
    return tf.cast(targets[..., -1], tf.int32), targets[..., :-1]


@keras.saving.register_keras_serializable(package="abkd")
class KerasABKDLoss(keras.losses.Loss):
    """`ABKDLoss` as a Keras loss: `model.compile(loss=KerasABKDLoss(0.8, 0.2))`, `fit(x, pack_targets(labels, logits))`.

    `sample_weight`, which may weigh examples `[batch]` or each row, and Keras' masks are the weights of the rows: a mean is
    Σ W · loss / Σ W over the rows that count, where Keras' default would divide by the number of rows. Nothing is cast
    beforehand: logits of any type are compared as `ABKDLoss` does.

    Args:
        alpha, beta, temperature, distill_weight, hard_weight, ignore_index, shift: numbers, those of `ABKDLoss`.
        reduction: "mean", "sum" or "none"; or Keras' word for the first, "mean_with_sample_weight".
        name: of the loss.
        dtype: kept for Keras; the loss is float64 if the student's logits are, else float32.
    """

    def __init__(
        self,
        alpha: float,
        beta: float,
        *,
        temperature: float = 1.0,
        distill_weight: float = 1.0,
        hard_weight: float = 1.0,
        ignore_index: int = IGNORED_LABEL,
        shift: bool = False,
        reduction: str = "mean",
        name: str = "abkd_loss",
        dtype: Any = None,
    ) -> None:
        words = {keras_word: word for word, keras_word in _REDUCTIONS.items()}
        reduction = check_reduction(words.get(reduction, reduction))
        super().__init__(name=name, reduction=_REDUCTIONS[reduction], dtype=dtype)
        self._numbers = {
            "temperature": temperature,
            "distill_weight": distill_weight,
            "hard_weight": hard_weight,
            "ignore_index": ignore_index,
            "shift": shift,
        }
        self._loss = ABKDLoss(alpha, beta, **self._numbers, reduction=reduction)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """Return the loss of targets by `pack_targets` and the student's logits `[..., C]`.

        Raises:
            ValueError: targets without the teacher's logits, shapes that do not fit.
        """
        classes, width = y_pred.shape[-1], tf.convert_to_tensor(y_true).shape[-1]
        if None not in (classes, width) and width != classes + 1:
            raise ValueError(
                f"y_true has {width} numbers a row and the student's logits {classes}; it must have one more than these, "
                "as pack_targets(labels, teacher_logits) makes it"
            )
        labels, teacher_logits = unpack_targets(y_true)
        parts = [part for part in (sample_weight, getattr(y_pred, "_keras_mask", None)) if part is not None]
        weights = None
        for part in parts:
            part = _of_rows(tf.cast(part, tf.float64), labels)
            weights = part if weights is None else weights * part
        loss = self._loss(y_pred, teacher_logits, labels, weights=weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss if replicas == 1 or self._loss.reduction != "mean" else loss / replicas

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """The loss without weights."""
        return self(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The arguments of an equal loss."""
        return {**super().get_config(), "alpha": self._loss.alpha, "beta": self._loss.beta, **self._numbers}


def _of_rows(weights: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Weights of examples `[batch]`, `[batch, 1]` or of rows as those of rows, in the labels' shape."""
    rank = labels.shape.rank
    if weights.shape.rank > rank:
        weights = tf.squeeze(weights, axis=-1)
    while weights.shape.rank < rank:
        weights = weights[..., None]
    return tf.broadcast_to(weights, tf.shape(labels))
