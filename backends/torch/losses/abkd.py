"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

import torch
from torch import nn

from ...common.arguments import IGNORED_LABEL, check_number, check_temperature
from .alpha_beta import ab_divergence
from .labels import check_labels, cross_entropy
from .rows import compute_type


class ABKDLoss(nn.Module):
    """hard_weight · CE(student, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    Cross-entropy is at temperature 1. Both terms are means over the rows whose label is not `ignore_index`; without any
    such row the loss is 0, with a zero gradient. There is no factor temperature²: put it into `distill_weight`.

    Args:
        alpha, beta: point of the α-β family, any finite real numbers.
        temperature: softens both distributions in the distillation term, > 0.
        distill_weight, hard_weight: weights of the two terms.
        ignore_index: label of rows that count for neither term.

    Shapes: student_logits and teacher_logits `[..., C]`, labels `[...]` (class indices, int). Returns a scalar, float64
    for float64 students, else float32.

    Raises:
        ValueError: a parameter that is not finite, a temperature ≤ 0, or shapes that do not fit.

    Source: Eq. 7 of Wang et al., "ABKD", ICML 2025.
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
        super().__init__()
        self.alpha, self.beta = check_number("alpha", alpha), check_number("beta", beta)
        self.temperature = check_temperature(temperature)
        self.distill_weight = check_number("distill_weight", distill_weight)
        self.hard_weight = check_number("hard_weight", hard_weight)
        self.ignore_index = ignore_index

    def forward(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss; see the class."""
        labels = check_labels(labels, student_logits)
        loss = torch.zeros((), dtype=compute_type(student_logits.dtype), device=student_logits.device)
        if self.hard_weight != 0:
            loss = loss + self.hard_weight * cross_entropy(student_logits, labels, ignore_index=self.ignore_index)
        if self.distill_weight != 0:
            valid = labels != self.ignore_index
            divergence = ab_divergence(
                student_logits, teacher_logits, self.alpha, self.beta, temperature=self.temperature, mask=valid
            )
            loss = loss + self.distill_weight * divergence
        return loss

    def extra_repr(self) -> str:
        """The parameters, for `print(loss)`."""
        return (
            f"alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, "
            f"distill_weight={self.distill_weight}, hard_weight={self.hard_weight}"
        )
