"""Points (α, β) of the α-β family by name, with where they come from.

`get` gives what every function with alpha and beta takes, in each framework:

    ab_divergence(student_logits, teacher_logits, **presets.get("article-generation"))
    ABKDLoss(**presets.get("paper-gpt2"), temperature=2.0)
    train_student(teacher, student, batches, **presets.training("paper-cifar-resnet56-resnet20"), learning_rate=0.05)

"article" is the article with the tuning guide that this project started from, "paper" the published code of the ABKD
paper (Wang et al., ICML 2025, arXiv 2505.04560). No framework is imported here.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches

_GUIDE = "tuning guide of the article"
_CODE = "published code of the ABKD paper"


@dataclass(frozen=True)
class Preset:
    """One point and what is known about it.

    Attributes:
        name: what users type.
        alpha, beta: the point; the middle of the source's ranges where it gives ranges.
        source: who gives it, and for what.
        alpha_range, beta_range: the source's own range, None where it gives one number.
        weights: those of temperature, distill_weight and hard_weight that the source gives too.
        note: what one has to know to use it; "" for nothing.
    """

    name: str
    alpha: float
    beta: float
    source: str
    alpha_range: tuple[float, float] | None = None
    beta_range: tuple[float, float] | None = None
    weights: dict[str, float] = field(default_factory=dict)
    note: str = ""


_MIDDLE = "the middle of the guide's ranges, declared by this project"
_OLD_FACTOR = (
    "the published runs divided by α+β where the definition has αβ: their divergence is (α+β)/(αβ) = {:.2f} times "
    "smaller than the paper's, so their weight does not carry over"
)
_RESNETS = {"temperature": 4.0, "hard_weight": 1.0}

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "article-classification",
            0.9,
            0.15,
            f"{_GUIDE}: image classification, about 100 classes",
            (0.8, 1.0),
            (0.1, 0.2),
            note=_MIDDLE,
        ),
        Preset(
            "article-generation",
            0.55,
            0.45,
            f"{_GUIDE}: instruction generation, vocabulary-sized outputs",
            (0.5, 0.6),
            (0.4, 0.5),
            note=_MIDDLE,
        ),
        Preset("article-action", 0.8, 0.2, f"{_GUIDE}: action recognition"),
        Preset(
            "paper-gpt2",
            0.2,
            0.7,
            f"{_CODE}: GPT-2 XL to smaller GPT-2",
            weights={"hard_weight": 0.0},
            note=_OLD_FACTOR.format(0.9 / 0.14),
        ),
        Preset(
            "paper-openllama",
            0.1,
            0.8,
            f"{_CODE}: OpenLLaMA2 7B to 3B",
            weights={"hard_weight": 0.0},
            note=_OLD_FACTOR.format(0.9 / 0.08),
        ),
        Preset(
            "paper-cifar-resnet56-resnet20",
            0.8,
            0.3,
            f"{_CODE}: CIFAR-100, resnet56 to resnet20, README",
            weights=_RESNETS | {"distill_weight": 32.0},
            note="the script of the same code has weight 64",
        ),
        Preset(
            "paper-cifar-resnet56-resnet20-script",
            0.8,
            0.3,
            f"{_CODE}: CIFAR-100, resnet56 to resnet20, script",
            weights=_RESNETS | {"distill_weight": 64.0},
            note="the README of the same code has weight 32",
        ),
        Preset("forward-kl", 1.0, 0.0, "ABKD paper, Table 1: forward KL"),
        Preset("reverse-kl", 0.0, 1.0, "ABKD paper, Table 1: reverse KL"),
        Preset("hellinger", 0.5, 0.5, "ABKD paper, Table 1: Hellinger", note="four times ½ Σ(√p−√q)²"),
        Preset("squared-euclidean", 1.0, 1.0, "ABKD paper, Table 1: ½ Σ(p−q)²"),
    )
}


def find(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    if name not in PRESETS:
        near = get_close_matches(name.lower(), PRESETS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"preset {name!r} is not known{hint}; choose from {', '.join(PRESETS)}")
    return PRESETS[name]


def get(name: str) -> dict[str, float]:
    """{"alpha": …, "beta": …} of a preset, to be passed on with `**`; ValueError lists the known ones."""
    preset = find(name)
    return {"alpha": preset.alpha, "beta": preset.beta}


def training(name: str) -> dict[str, float]:
    """`get`, with those of temperature, distill_weight and hard_weight that the preset's source gives."""
    return get(name) | find(name).weights
