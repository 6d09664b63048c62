"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_number, check_reduction, check_temperature
from .alpha_beta import packed_ab_divergence
from .differentiable import check_arguments
from .labels import check_labels, counted_cross_entropy, shift_left
from .operands import is_dynamic, pack
from .rows import compute_type


class ABKDLoss:
    """hard_weight · CE(student_logits, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    A plain callable for a `GradientTape` loop or a model's own `compute_loss`; `KerasABKDLoss` is the one for
    `model.compile`. Cross-entropy is taken at temperature 1; no factor temperature² is applied.

    Args:
        alpha: any finite real number, or a scalar tensor; with a `tf.Variable` a schedule changes it within a compiled
            function. A tensor's value is not checked.
        beta: the same.
        temperature: softens both distributions in the distillation term, > 0; likewise.
        distill_weight: weight of the distillation term.
        hard_weight: weight of the cross-entropy with the labels.
        ignore_index: rows with this label count in neither term.
        reduction: "mean", Σ W · loss / Σ W over the rows that count (0 where none does), W their weights; "sum",
            Σ W · loss; or "none" (`[...]`, W · loss).
        shift: labels `[..., tokens]` are the input ids, so that logits[t] predict labels[t + 1]; weights move with them.

    Raises:
        ValueError: a number that is not finite, temperature ≤ 0, an unknown reduction.
    """

    def __init__(
        self,
        alpha: Any,
        beta: Any,
        *,
        temperature: Any = 1.0,
        distill_weight: float = 1.0,
        hard_weight: float = 1.0,
        ignore_index: int = IGNORED_LABEL,
        reduction: str = "mean",
        shift: bool = False,
    ) -> None:
        self.alpha = alpha if is_dynamic(alpha) else check_number("alpha", alpha)
        self.beta = beta if is_dynamic(beta) else check_number("beta", beta)
        self.temperature = temperature if is_dynamic(temperature) else check_temperature(temperature)
        self.distill_weight = check_number("distill_weight", distill_weight)
        self.hard_weight = check_number("hard_weight", hard_weight)
        self.ignore_index = ignore_index
        self.reduction = check_reduction(reduction)
        self.shift = shift

    def __call__(
        self, student_logits: Any, teacher_logits: Any, labels: Any, *, weights: Any = None, normalizer: Any = None
    ) -> tf.Tensor:
        """Return the loss, a scalar or `[...]` for "none" (float64 if the student's logits are, else float32).

        Args:
            student_logits: `[..., C]`.
            teacher_logits: `[..., C]`, a constant.
            labels: integers `[...]`; labels[t] is the class that logits[t] predicts (with `shift` the one before),
                `ignore_index` marks rows that do not count.
            weights: `[...]`, real, finite, ≥ 0, a constant: W of each row in both terms; None: 1.
            normalizer: a number or scalar tensor > 0 that Σ W · loss is divided by in place of Σ W, such as the rows of a
                whole batch whose gradient is accumulated in parts.

        Raises:
            ValueError: shapes that do not fit, a label that is no class, weights or a normalizer that is not allowed.
            TypeError: labels that are not integers, logits that are not floating point.
        """
        if self.shift:
            labels, weights = shift_left(labels, weights, self.ignore_index)
        arguments = check_arguments(student_logits, teacher_logits, None, self.reduction, weights, normalizer)
        student, teacher, counting = arguments
        labels, counting = check_labels(labels, student, self.ignore_index, counting)
        dtype = compute_type(student.dtype)
        loss = tf.zeros(tf.shape(labels) if self.reduction == "none" else [], dtype)
        if self.hard_weight:  # a term that weighs nothing is not computed: 0 · inf would be NaN
            loss += tf.constant(self.hard_weight, dtype) * counted_cross_entropy(student, labels, counting)
        if self.distill_weight:
            packed = pack(self.alpha, self.beta, self.temperature)
            loss += tf.constant(self.distill_weight, dtype) * packed_ab_divergence(student, teacher, packed, counting)
        return loss

    def __repr__(self) -> str:
        return (
            f"ABKDLoss(alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, "
            f"distill_weight={self.distill_weight}, hard_weight={self.hard_weight}, ignore_index={self.ignore_index}, "
            f"reduction={self.reduction!r}, shift={self.shift})"
        )
