"""Distillation methods by name: which objective, with which parameters, weighs how much.

One row a method. The training loss of every method is

    hard_weight · CE(student, labels) + factor(epoch) · distill_weight · L(student, teacher, labels; parameters),

where the term L is a function of each backend's `objectives` or `divergences`. The objectives named `…_loss` hold their
factor temperature² already; a divergence gets it where the method's definition has it (`temperature_squared`). The
factor is min(epoch / warm_up_epochs, 1), epochs counted from 1, for methods with a warm-up, else 1. Eq. 7 of the ABKD
paper (Wang et al., ICML 2025) is the row "abkd". A method whose batches have a part beside (other texts, say) adds
beside_weight times the loss of the method that `beside` names, of that part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .arguments import (
    check_fraction,
    check_not_negative,
    check_number,
    check_positive,
    check_squared_temperature,
    check_temperature,
)

Takes = Literal["logits", "heads", "models"]


@dataclass(frozen=True)
class Method:
    """One distillation method.

    Attributes:
        name: what users type.
        title: what tables print.
        source: where it comes from, and its parameters' defaults.
        term: L, a function of each backend's `objectives` or `divergences`; empty without a teacher.
        defaults: parameters that a user may set, beside the weights; None where the user must.
        fixed: arguments of the term that make it this method.
        temperature_squared: whether L is the term times temperature².
        every_row: the term compares the rows of a batch with each other, so that none may be left out.
        takes: what the term is of: both networks' logits; what their `heads` returns, (hidden states, output weight);
            or the networks themselves, with the batch.
        batches: name of the task's source of batches.
        beside: the method whose loss is that of the batch's part beside; empty where batches have none.
    """

    name: str
    title: str
    source: str
    term: str = ""
    defaults: Mapping[str, float | None] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    temperature_squared: bool = False
    every_row: bool = False
    takes: Takes = "logits"
    batches: str = "fixed"
    beside: str = ""

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher's outputs are in its loss, or in that of the part beside."""
        return bool(self.term) or (bool(self.beside) and get(self.beside).needs_teacher)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that a user may set."""
        distilling = (*self.defaults, "distill_weight") if self.term else ()
        return (*distilling, "hard_weight", *(("beside_weight",) if self.beside else ()))


_AB = {"alpha": 0.8, "beta": 0.3}
_DKD = {"temperature": 4.0, "target_weight": 1.0, "non_target_weight": 2.0, "warm_up_epochs": 20.0}
_ABKD_PAPER = "Wang et al., ICML 2025"

METHODS = {
    method.name: method
    for method in (
        Method("sft", "SFT (hard labels)", "supervised fine-tuning, no teacher"),
        Method(
            "kd",
            "KD (forward KL)",
            "Hinton et al., 2015, with its T²; ABKD paper Table 1: (α,β) = (1,0)",
            "ab_divergence",
            {"temperature": 4.0},
            {"alpha": 1.0, "beta": 0.0},
            temperature_squared=True,
        ),
        Method(
            "rkld",
            "RKLD (reverse KL)",
            "Gu et al., 2024; ABKD paper Table 1: (α,β) = (0,1); the factor T² as in KD is declared by this project",
            "ab_divergence",
            {"temperature": 1.0},
            {"alpha": 0.0, "beta": 1.0},
            temperature_squared=True,
        ),
        Method(
            "abkd",
            "ABKD",
            f"{_ABKD_PAPER}, Eq. 7, without T²",
            "ab_divergence",
            {"alpha": None, "beta": None, "temperature": 1.0},
        ),
        Method(
            "dkd",
            "DKD (decoupled)",
            "Zhao et al., CVPR 2022, with its T²; non_target_weight is 2 to 8 by pair",
            "dkd_loss",
            _DKD,
        ),
        Method("lsd", "LSD (standardised logits)", "Sun et al., CVPR 2024, with its T²", "lsd_loss", {"temperature": 2.0}),
        Method("ttm", "TTM (transformed teacher)", "Zheng and Yang, ICLR 2024", "ttm_loss", {"gamma": 0.1}),
        Method("wttm", "WTTM (weighted TTM)", "Zheng and Yang, ICLR 2024", "wttm_loss", {"gamma": 0.1}),
        Method(
            "dist",
            "DIST (correlations)",
            "Huang et al., NeurIPS 2022, with its τ²",
            "dist_loss",
            {"temperature": 4.0},
            every_row=True,
        ),
        Method(
            "abdkd",
            "ABDKD",
            f"{_ABKD_PAPER}: DKD with D_AB within the rest, T² once; α and β are declared by this "
            "project, as is the warm-up, DKD's",
            "abdkd_loss",
            {**_AB, **_DKD},
        ),
        Method(
            "ablsd",
            "ABLSD",
            f"{_ABKD_PAPER}: LSD with D_AB, T² once; α and β are declared by this project",
            "ablsd_loss",
            {**_AB, "temperature": 2.0},
        ),
        Method(
            "abttm",
            "ABTTM",
            f"{_ABKD_PAPER}: TTM with D_AB; α and β are declared by this project",
            "abttm_loss",
            {**_AB, "gamma": 0.1},
        ),
        Method(
            "jsd",
            "JSD (generalised Jensen-Shannon)",
            "Agarwal et al. (GKD), ICLR 2024; weight is its λ",
            "jensen_shannon",
            {"weight": 0.1, "temperature": 1.0},
        ),
        Method("tvd", "TVD (total variation)", "Wen et al., ACL 2023", "total_variation", {"temperature": 1.0}),
        Method(
            "wsd",
            "WSD (weighted KL and reverse KL)",
            f"{_ABKD_PAPER}; weight is that of the reverse KL",
            "weighted_sum",
            {"weight": 0.5, "temperature": 1.0},
        ),
        Method(
            "skew-kl",
            "Skewed KL",
            "Ko et al. (DistiLLM), ICML 2024; weight is its λ",
            "skewed_forward_kl",
            {"weight": 0.1, "temperature": 1.0},
        ),
        Method(
            "skew-rkl",
            "Skewed reverse KL",
            "Ko et al. (DistiLLM), ICML 2024; weight is its λ",
            "skewed_reverse_kl",
            {"weight": 0.1, "temperature": 1.0},
        ),
        Method(
            "akl",
            "AKL (adaptive KL)",
            "Wu et al., COLING 2025; head is the teacher's mass in it",
            "adaptive_kl",
            {"head": 0.5, "temperature": 1.0},
        ),
        Method(
            "bdkd",
            "BDKD (bidirectional KL)",
            f"{_ABKD_PAPER}, as compared there; low and high weigh by entropy",
            "bidirectional_kl",
            {"low": 1.0, "high": 3.0, "temperature": 1.0},
        ),
        Method(
            "alphanet",
            "AlphaNet",
            "Wang et al., ICML 2021, of batch means as in the ABKD paper",
            "alphanet",
            {"alpha_min": 0.2, "alpha_max": 0.8, "temperature": 1.0},
        ),
    )
}


@dataclass(frozen=True)
class Objective:
    """A method with its numbers filled in: what a training step computes.

    Attributes:
        method: its name.
        term: L's name, see `Method`.
        parameters: L's arguments by name, fixed ones and the temperature included.
        distill_weight: of L, with a factor temperature² where L as the backends compute it lacks it.
        hard_weight: of the cross-entropy with the labels.
        warm_up_epochs: see `factor`.
        every_row, takes: see `Method`.
        beside: what the batch's part beside adds, None where batches have none.
        beside_weight: of that.
    """

    method: str
    term: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    distill_weight: float = 0.0
    hard_weight: float = 1.0
    warm_up_epochs: float = 0.0
    every_row: bool = False
    takes: Takes = "logits"
    beside: "Objective | None" = None
    beside_weight: float = 1.0

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher's outputs are in it, or in what the part beside adds."""
        return bool(self.term) or (self.beside is not None and self.beside.needs_teacher)

    def factor(self, epoch: int) -> float:
        """Factor of `distill_weight` in an epoch counted from 0: min((epoch + 1) / warm_up_epochs, 1)."""
        return warm_up(epoch + 1, epochs=self.warm_up_epochs)


def warm_up(epoch: float, *, epochs: float = 20.0) -> float:
    """DKD's factor min(epoch / epochs, 1) in epoch 1, 2, …; 1 where `epochs` is 0. Zhao et al., 2022."""
    return min(epoch / epochs, 1.0) if epochs else 1.0


def get(name: str) -> Method:
    """Return the method called `name`; ValueError lists the known ones."""
    if name not in METHODS:
        raise ValueError(f"method={name!r} is not known; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def resolve(
    method: str,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    hard_weight: float = 1.0,
    beside_weight: float | None = None,
    **further: float,
) -> Objective:
    """Fill a method's numbers in.

    Args:
        method: a name in `METHODS`.
        alpha, beta: of methods that have them; "abkd" needs both.
        temperature: softens both distributions, > 0; None takes the method's own (`Method.defaults`).
        distill_weight: weight of the distillation term, 1 where None; a method's factor temperature² comes on top.
        hard_weight: weight of the cross-entropy with the labels.
        beside_weight: weight of what the batch's part beside adds, 1 where None.
        **further: parameters of the method beside these: `get(method).parameters` names them.

    Raises:
        ValueError: unknown method, a parameter that the method does not have, one that it lacks, or a bad value.
    """
    row = get(method)
    named = {"alpha": alpha, "beta": beta, "temperature": temperature, "distill_weight": distill_weight}
    named = {**named, "beside_weight": beside_weight, **further}
    chosen = {name: value for name, value in named.items() if value is not None}
    for name, value in chosen.items():
        # what the method is anyway may be said: KD's α and β, the temperature 1 of a method without one
        neutral = row.fixed.get(name, 1.0 if name == "temperature" else None)
        if name not in row.parameters and value != neutral:
            raise ValueError(f"{name}={value!r}: method {method!r} has no such parameter; it has {', '.join(row.parameters)}")
    weights = {"hard_weight": check_number("hard_weight", hard_weight)}
    if row.beside:
        weights["beside_weight"] = check_number("beside_weight", chosen.get("beside_weight", 1.0))
    beside = resolve(row.beside) if row.beside else None
    if not row.term:
        return Objective(method, beside=beside, **weights)
    missing = [name for name, value in row.defaults.items() if value is None and name not in chosen]
    if missing:
        raise ValueError(f"method={method!r} needs {' and '.join(missing)}; any finite real number is allowed")
    values = {name: _checked(name, chosen.get(name, default)) for name, default in row.defaults.items()}
    warm_up_epochs = values.pop("warm_up_epochs", 0.0)
    scale = check_squared_temperature(values["temperature"]) ** 2 if row.temperature_squared else 1.0
    return Objective(
        method,
        row.term,
        {**row.fixed, **values},
        distill_weight=check_number("distill_weight", chosen.get("distill_weight", 1.0)) * scale,
        warm_up_epochs=warm_up_epochs,
        every_row=row.every_row,
        takes=row.takes,
        beside=beside,
        **weights,
    )


# what a parameter must be, where any finite number will not do
_CHECKS = {
    "temperature": lambda _, value: check_temperature(value),
    "gamma": check_positive,
    "warm_up_epochs": check_not_negative,
    "weight": check_fraction,
    "head": check_fraction,
    "low": check_not_negative,
    "high": check_not_negative,
}


def _checked(name: str, value: float | None) -> float:
    return _CHECKS.get(name, check_number)(name, value)
