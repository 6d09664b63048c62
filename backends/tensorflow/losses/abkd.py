"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

from typing import Any

import tensorflow as tf

from ...common.arguments import IGNORED_LABEL, check_number, check_temperature
from .alpha_beta import ab_divergence
from .labels import check_labels, cross_entropy
from .rows import compute_type


class ABKDLoss:
    """hard_weight · CE(student_logits, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    A plain callable, not a `keras.losses.Loss`, which would cast float64 to float32. Use it in a `GradientTape` loop or
    in a model's own `train_step`. Cross-entropy is taken at temperature 1; no factor temperature² is applied.

    Args:
        alpha: any finite real number.
        beta: any finite real number.
        temperature: softens both distributions in the distillation term, > 0.
        distill_weight: weight of the distillation term.
        hard_weight: weight of the cross-entropy with the labels.
        ignore_index: rows with this label count in neither term.

    Raises:
        ValueError: a number that is not finite, temperature ≤ 0.
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
    ) -> None:
        self.alpha = check_number("alpha", alpha)
        self.beta = check_number("beta", beta)
        self.temperature = check_temperature(temperature)
        self.distill_weight = check_number("distill_weight", distill_weight)
        self.hard_weight = check_number("hard_weight", hard_weight)
        self.ignore_index = ignore_index

    def __call__(self, student_logits: Any, teacher_logits: Any, labels: Any) -> tf.Tensor:
        """Return the loss, a scalar (float64 if the student's logits are, else float32).

        Args:
            student_logits: `[..., C]`.
            teacher_logits: `[..., C]`, a constant.
            labels: integers `[...]`; `ignore_index` marks rows that do not count.

        Raises:
            ValueError: shapes that do not fit.
            TypeError: labels that are not integers, logits that are not floating point.
        """
        student, teacher = tf.convert_to_tensor(student_logits), tf.convert_to_tensor(teacher_logits)
        labels = check_labels(labels, student)
        dtype = compute_type(student.dtype)
        loss = tf.zeros([], dtype)
        if self.hard_weight:  # a term that weighs nothing is not computed: 0 · inf would be NaN
            hard = cross_entropy(student, labels, ignore_index=self.ignore_index)
            loss += tf.constant(self.hard_weight, dtype) * hard
        if self.distill_weight:
            mask = tf.not_equal(labels, tf.cast(self.ignore_index, labels.dtype))
            distill = ab_divergence(student, teacher, self.alpha, self.beta, temperature=self.temperature, mask=mask)
            loss += tf.constant(self.distill_weight, dtype) * distill
        return loss

    def __repr__(self) -> str:
        return (
            f"ABKDLoss(alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, "
            f"distill_weight={self.distill_weight}, hard_weight={self.hard_weight}, ignore_index={self.ignore_index})"
        )
