"""The table of divergences: what each is called, takes, and is checked against. One row is one divergence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpmath import libmp

from reference import combinations, divergences, margins, mixtures
from reference.exact import catalogue as exact_catalogue
from reference.exact import definition
from reference.grid import AB_GRID, DTYPES, TEMPERATURES


@dataclass(frozen=True)
class Divergence:
    """One divergence.

    Attributes:
        name: of the function in each backend.
        parameters: names of its parameters, in the order of its positional arguments after the logits.
        grid: parameter values that its golden cases cover.
        exact: (student_logits, teacher_logits, temperature) of one row -> an object whose
            `value_and_gradient(*raw parameters, digits=…)` is the definition in multiprecision.
        source: where the definition is published.
        reference: (student_logits, teacher_logits, *parameters, temperature, mask, weights, reduction) ->
            (value, gradient),
            in float64 NumPy; where it is not given, the exact one row by row, which is as good and a hundred times
            slower.
        ranges: of each parameter, the interval to draw random values from; 0 to 1.5 where it is not named.
        temperatures: that its golden cases cover.
        long_row_temperatures, long_row_dtypes: those that its golden cases of 50,257 classes cover.
        margin: (student_logits [N, C], teacher_logits, *parameters, temperature) -> bool [N], True for the rows that
            keep a margin from where the loss switches; None for a loss that does not.
    """

    name: str
    parameters: tuple[str, ...]
    grid: tuple[Mapping[str, float], ...]
    exact: Callable[..., Any]
    source: str
    reference: Callable[..., Any] = None  # type: ignore[assignment]  # __post_init__ fills it in
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    temperatures: tuple[float, ...] = (1.0, 4.0)
    long_row_temperatures: tuple[float, ...] = (1.0,)
    long_row_dtypes: tuple[str, ...] = ("float32",)
    margin: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if self.reference is None:
            object.__setattr__(self, "reference", exact_catalogue.in_float64(self.exact))

    def range(self, parameter: str) -> tuple[float, float]:
        """The interval to draw random values of a parameter from."""
        return self.ranges.get(parameter, (0.0, 1.5))


def _family_point(alpha: Callable[..., Any], beta: Callable[..., Any]) -> Callable[..., Any]:
    """`exact.exact_row` at the (α, β) that a divergence's own parameters stand for."""

    class Point:
        def __init__(self, *row: Any) -> None:
            self._row = definition.exact_row(*row)

        def value_and_gradient(self, *parameters: Any, digits: int) -> tuple[Any, list[Any]]:
            return self._row.value_and_gradient(alpha(*parameters), beta(*parameters), digits=digits)

    return Point


def _larger(student_logits: Any, teacher_logits: Any, temperature: Any = 1) -> Any:
    """The larger of two α-divergences of a row."""
    row = definition.exact_row(student_logits, teacher_logits, temperature)

    class Larger:
        def value_and_gradient(self, *alphas: Any, digits: int) -> tuple[Any, list[Any]]:
            both = [row.value_and_gradient(alpha, _rest(alpha), digits=digits) for alpha in alphas]
            return both[1] if both[1][0] > both[0][0] else both[0]

    return Larger()


def _rest(alpha: Any) -> Any:
    return libmp.mpf_sub(libmp.fone, alpha)


_WEIGHTS = tuple({"weight": weight} for weight in (0.1, 0.5, 0.9))
_WEIGHT_RANGE = {"weight": (0.02, 0.98)}

DIVERGENCES: dict[str, Divergence] = {
    row.name: row
    for row in (
        Divergence(
            name="ab_divergence",
            parameters=("alpha", "beta"),
            grid=tuple({"alpha": alpha, "beta": beta} for alpha, beta in AB_GRID),
            exact=definition.exact_row,
            reference=divergences.ab_divergence_and_gradient,
            source="Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Definition 4.1; limits: Cichocki et al., 2011",
            temperatures=TEMPERATURES,
            long_row_temperatures=TEMPERATURES,
            long_row_dtypes=DTYPES,
        ),
        Divergence(
            name="forward_kl",
            parameters=(),
            grid=({},),
            exact=exact_catalogue.row_of(exact_catalogue.forward_kl),
            reference=combinations.forward_kl_and_gradient,
            source="Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531)",
        ),
        Divergence(
            name="reverse_kl",
            parameters=(),
            grid=({},),
            exact=exact_catalogue.row_of(exact_catalogue.reverse_kl),
            reference=combinations.reverse_kl_and_gradient,
            source="Gu et al., MiniLLM, ICLR 2024 (arXiv 2306.08543)",
        ),
        Divergence(
            name="alpha_divergence",
            parameters=("alpha",),
            grid=({"alpha": 0.1}, {"alpha": 0.5}, {"alpha": 0.9}),
            exact=_family_point(lambda alpha: alpha, _rest),
            reference=combinations.alpha_divergence_and_gradient,
            source="D_AB(α, 1 − α): Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Table 1",
            ranges={"alpha": (0.0, 1.0)},
        ),
        Divergence(
            name="beta_divergence",
            parameters=("beta",),
            grid=({"beta": 0.1}, {"beta": 0.5}, {"beta": 1.5}),
            exact=_family_point(lambda beta: libmp.fone, lambda beta: beta),
            reference=combinations.beta_divergence_and_gradient,
            source="D_AB(1, β): Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Table 1",
        ),
        Divergence(
            name="squared_hellinger",
            parameters=(),
            grid=({},),
            exact=exact_catalogue.row_of(exact_catalogue.squared_hellinger),
            reference=combinations.squared_hellinger_and_gradient,
            source="½ Σ (√p − √q)²: D_AB(½, ½)/4, Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Table 1",
        ),
        Divergence(
            name="squared_euclidean",
            parameters=(),
            grid=({},),
            exact=exact_catalogue.row_of(exact_catalogue.squared_euclidean),
            reference=combinations.squared_euclidean_and_gradient,
            source="½ Σ (p − q)²: D_AB(1, 1), Wang et al., ABKD, ICML 2025 (arXiv 2505.04560), Table 1",
        ),
        Divergence(
            name="weighted_sum",
            parameters=("weight",),
            grid=_WEIGHTS,
            exact=exact_catalogue.row_of(exact_catalogue.weighted_sum),
            reference=combinations.weighted_sum_and_gradient,
            source="WSD of Wang et al., ABKD, ICML 2025 (arXiv 2505.04560)",
            ranges=_WEIGHT_RANGE,
        ),
        Divergence(
            name="jensen_shannon",
            parameters=("weight",),
            grid=_WEIGHTS,
            exact=exact_catalogue.row_of(exact_catalogue.jensen_shannon),
            reference=mixtures.jensen_shannon_and_gradient,
            source="Agarwal et al., GKD, ICLR 2024 (arXiv 2306.13649)",
            ranges=_WEIGHT_RANGE,
        ),
        Divergence(
            name="skewed_forward_kl",
            parameters=("weight",),
            grid=_WEIGHTS,
            exact=exact_catalogue.row_of(exact_catalogue.skewed_forward_kl),
            reference=mixtures.skewed_forward_kl_and_gradient,
            source="Ko et al., DistiLLM, ICML 2024 (arXiv 2402.03898)",
            ranges=_WEIGHT_RANGE,
        ),
        Divergence(
            name="skewed_reverse_kl",
            parameters=("weight",),
            grid=_WEIGHTS,
            exact=exact_catalogue.row_of(exact_catalogue.skewed_reverse_kl),
            reference=mixtures.skewed_reverse_kl_and_gradient,
            source="Ko et al., DistiLLM, ICML 2024 (arXiv 2402.03898)",
            ranges=_WEIGHT_RANGE,
        ),
        Divergence(
            name="total_variation",
            parameters=(),
            grid=({},),
            exact=exact_catalogue.row_of(exact_catalogue.total_variation),
            reference=mixtures.total_variation_and_gradient,
            source="Wen et al., f-Divergence Minimization for Sequence-Level KD, ACL 2023 (arXiv 2307.15190)",
            margin=margins.total_variation,
        ),
        Divergence(
            name="adaptive_kl",
            parameters=("head",),
            grid=({"head": 0.5}, {"head": 0.8}),
            exact=exact_catalogue.row_of(exact_catalogue.adaptive_kl),
            reference=combinations.adaptive_kl_and_gradient,
            source="Wu et al., Rethinking Kullback-Leibler Divergence in KD for LLMs, 2024 (arXiv 2404.02657)",
            ranges={"head": (0.02, 0.98)},
            margin=margins.adaptive_kl,
        ),
        Divergence(
            name="bidirectional_kl",
            parameters=("low", "high"),
            grid=({"low": 1.0, "high": 3.0}, {"low": 0.5, "high": 2.0}),
            exact=exact_catalogue.row_of(exact_catalogue.bidirectional_kl),
            reference=combinations.bidirectional_kl_and_gradient,
            source="BDKD of Wang et al., ABKD, ICML 2025 (arXiv 2505.04560)",
            ranges={"low": (0.1, 1.5), "high": (1.5, 4.0)},
            margin=margins.bidirectional_kl,
        ),
        Divergence(
            name="alphanet",
            parameters=("alpha_min", "alpha_max"),
            grid=tuple({"alpha_min": a, "alpha_max": b} for a, b in ((0.2, 0.8), (0.1, 0.7), (0.3, 0.9))),
            exact=_larger,
            reference=combinations.alphanet_and_gradient,
            source="Wang et al., AlphaNet, ICML 2021 (arXiv 2102.07954)",
            ranges={"alpha_min": (0.1, 0.3), "alpha_max": (0.7, 0.9)},
            margin=margins.alphanet,
        ),
    )
}


def get(name: str) -> Divergence:
    """The divergence of this name; ValueError listing the known ones otherwise."""
    if name not in DIVERGENCES:
        raise ValueError(f"divergence is {name!r}; it must be one of {', '.join(sorted(DIVERGENCES))}")
    return DIVERGENCES[name]
