"""The training loss of the ABKD paper's Eq. 7: cross-entropy with the labels plus the α-β-divergence to the teacher."""

import torch
from torch import nn

from ...common.arguments import IGNORED_LABEL, check_number, check_reduction, check_temperature
from .alpha_beta import packed_ab_divergence
from .differentiable import Normalizer, check_logits, row_weights
from .labels import check_labels, counted_cross_entropy, counted_rows, shift_left
from .operands import check_factor, pack
from .rows import compute_type


class ABKDLoss(nn.Module):
    """hard_weight · CE(student, labels) + distill_weight · D_AB(teacher ‖ student; alpha, beta, temperature).

    Cross-entropy is at temperature 1. Both terms are means over the rows whose label is not `ignore_index`; without any
    such row the loss is 0, with a zero gradient. There is no factor temperature²: put it into `distill_weight`.

    Args:
        alpha, beta: point of the α-β family, any finite real numbers.
        temperature: softens both distributions in the distillation term, > 0. These three may be changed from step to step;
            torch.compile compiles nothing again for it.
        distill_weight, hard_weight: weights of the two terms.
        ignore_index: label of rows that count for neither term.
        reduction: "mean", Σ weight · loss / Σ weight over the rows that count; "sum", Σ weight · loss; or "none" (`[...]`,
            weight · loss).
        shift: whether labels are the input ids, as Hugging Face gives them: logits[t] predict labels[t + 1] then, and the
            last place is ignored.

    Call it with student_logits and teacher_logits `[..., C]` and labels `[...]` (class indices, int): labels[t] is the class
    that logits[t] predicts. `weights` `[...]`, real, finite, ≥ 0 and constant, are what each label's row counts in both terms,
    1 if None. `normalizer` is a positive number or scalar tensor by which the sum is divided in place of Σ weight: with that
    of the whole batch (`num_items_in_batch`) the losses of its parts add up to the batch's. Returns a scalar (`[...]` for
    "none"), float64 for float64 students, else float32.

    Raises:
        ValueError: a parameter that is not finite, a temperature ≤ 0, labels that are no classes, weights, a normalizer or
            shapes that do not fit.
        TypeError: logits that are not floating point, labels that are not integers.

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
        reduction: str = "mean",
        shift: bool = False,
    ) -> None:
        super().__init__()
        self.alpha, self.beta = check_number("alpha", alpha), check_number("beta", beta)
        self.temperature = check_temperature(temperature)
        self.distill_weight = check_number("distill_weight", distill_weight)
        self.hard_weight = check_number("hard_weight", hard_weight)
        self.ignore_index = ignore_index
        self.reduction = check_reduction(reduction)
        self.shift = shift

    def forward(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        labels: torch.Tensor,
        *,
        weights: torch.Tensor | None = None,
        normalizer: Normalizer | None = None,
    ) -> torch.Tensor:
        """Return the loss; see the class."""
        if self.shift:
            labels, weights = shift_left(labels, weights, self.ignore_index)
        check_logits(student_logits, teacher_logits)
        labels, valid = check_labels(labels, student_logits, self.ignore_index)
        weight = row_weights(student_logits, valid, weights, check_reduction(self.reduction), normalizer)
        student, dtype = student_logits, compute_type(student_logits.dtype)
        for name in ("distill_weight", "hard_weight"):
            check_factor(name, getattr(self, name), dtype)
        if self.hard_weight == 0:
            student = counted_rows(student, labels, valid)  # which the cross-entropy does itself
        elif self.distill_weight != 0:
            student = student.to(dtype)  # the sum of both gradients is rounded, not each
        loss = torch.zeros_like(weight if self.reduction == "none" else weight.new_empty(()))
        if self.hard_weight != 0:
            options = (weights, self.reduction, normalizer)
            loss = loss + self.hard_weight * counted_cross_entropy(student, labels, valid, self.ignore_index, *options)
        if self.distill_weight != 0:
            packed = pack(self.alpha, self.beta, self.temperature)
            loss = loss + self.distill_weight * packed_ab_divergence(student, teacher_logits, packed, weight, self.reduction)
        return loss

    def extra_repr(self) -> str:
        """The parameters, for `print(loss)`."""
        return (
            f"alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, "
            f"distill_weight={self.distill_weight}, hard_weight={self.hard_weight}, ignore_index={self.ignore_index}, "
            f"reduction={self.reduction!r}, shift={self.shift}"
        )
