"""Recipes of CIFAR-100: the ABKD paper's at the scale "paper", shorter ones of this project at the others.

The paper does not publish everything. Numbers that its text, its code or the compared methods' papers do not give say
"declared by this project", and why where it is not plain.
"""

from suites.distill.recipes.papers import DKD_METHODS, DKD_PAPER, LSD_METHODS, LSD_PAPER, METHODS, PUBLISHED_EPOCHS, dkd_warm_up
from suites.distill.recipes.recipe import DECLARED, PAPER, DatasetRecipes, Value, Values

_TRAINING: Values = {
    "epochs": Value(PUBLISHED_EPOCHS, PAPER),
    "batch_size": Value(64, PAPER),
    "learning_rate": Value(0.05, PAPER),
    "warm_up_steps": Value(0, PAPER),
    "schedule": Value("steps", PAPER),
    "milestones": Value((150, 180, 210), PAPER),
    "decay": Value(0.1, PAPER),
    "momentum": Value(0.9, PAPER),
    "weight_decay": Value(5e-4, PAPER),
    "pad": Value(4, PAPER),
    "flip": Value(True, PAPER),
}
# the same with a schedule that fits into minutes: one cycle of a cosine with a warm-up of one epoch
_SHORT: Values = {name: value for name, value in _TRAINING.items() if name not in ("milestones", "decay")} | {
    "schedule": Value("cosine"),
    "learning_rate": Value(0.1),
}
_SMALL: Values = _SHORT | {"epochs": Value(15), "warm_up_steps": Value(78)}
_SMOKE: Values = _SHORT | {"epochs": Value(5), "warm_up_steps": Value(12), "learning_rate": Value(0.05)}

_UNPUBLISHED = DECLARED + "; not published for ABKD on other pairs, as for resnet56 → resnet20"

# weight of DKD's second term where it is not 2
_NON_TARGET_WEIGHTS = {"resnet32x4:resnet8x4": 8.0, "wrn-40-2:wrn-16-2": 6.0, "wrn-40-2:wrn-40-1": 6.0, "vgg13:vgg8": 6.0}
PAIRS = (
    "wrn-40-2:wrn-16-2",
    "wrn-40-2:wrn-40-1",
    "resnet56:resnet20",
    "resnet110:resnet20",
    "resnet110:resnet32",
    "resnet110:resnet44",
    "resnet32x4:resnet8x4",
    "vgg13:vgg8",
)


def _of_pairs() -> dict[tuple[str, str], Values]:
    """What differs from one pair to the next."""
    found: dict[tuple[str, str], Values] = {}
    for pair in PAIRS:
        if pair != "resnet56:resnet20":
            found[pair, "abkd"] = {name: Value(value.value, _UNPUBLISHED) for name, value in METHODS["abkd"].items()}
    for pair, weight in _NON_TARGET_WEIGHTS.items():
        found |= {(pair, method): {"non_target_weight": Value(weight, DKD_PAPER)} for method in DKD_METHODS}
    for method in LSD_METHODS:
        found["resnet110:resnet20", method] = {"temperature": Value(4.0, LSD_PAPER), "distill_weight": Value(12.0, LSD_PAPER)}
    return found


_PAPERS = ("sft", "kd", "dkd", "lsd", "ttm", "wttm", "dist", "abkd", "abdkd", "ablsd", "abttm")
_COMPARED = ("sft", "kd", "abkd", "abdkd")

RECIPES = DatasetRecipes(
    teachers={"smoke": _SMOKE, "small": _SMALL, "paper": _TRAINING},
    students={"smoke": _SMOKE, "small": _SMALL, "paper": _TRAINING},
    methods=METHODS,
    pairs=_of_pairs(),
    scaled={
        (scale, method): dkd_warm_up(recipe["epochs"].value)
        for scale, recipe in (("smoke", _SMOKE), ("small", _SMALL))
        for method in DKD_METHODS
    },
    default_pair={"smoke": "resnet14:resnet8", "small": "resnet56:resnet20", "paper": "resnet56:resnet20"},
    default_methods={"smoke": _COMPARED, "small": _COMPARED, "paper": _PAPERS},
    default_seeds={"smoke": 1, "small": 3, "paper": 3},
    architectures=("resnet", "wrn", "vgg"),
    # Deep networks that nobody has trained give large logits: from resnet56 a first loss of 73. At the usual rate rounding
    # of float64 then reaches a percent of the loss within 15 steps; at this one it stays below 1e-14, while the loss falls
    # to half.
    trace={"learning_rate": Value(1e-4)},
    epoch_seconds={"smoke": (3.2, 2.0), "small": (20.0, 12.5), "paper": (200.0, 125.0), "trace": (30.0, 30.0)},
)
