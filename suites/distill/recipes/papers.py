"""The papers' numbers of methods for images, each with its source; recipes of data sets begin with them.

Numbers that a method's paper, its code or the ABKD paper do not give say "declared by this project".
"""

from suites.distill.recipes.recipe import ABKD_SCRIPT, DECLARED, PAPER, Value, Values

DKD_PAPER = "Zhao et al., 2022 (DKD)"
LSD_PAPER = "Sun et al., 2024 (LSD)"
TTM_PAPER = "Zheng and Yang, 2024 (TTM)"
DIST_PAPER = "Huang et al., 2022 (DIST)"
# epochs of the trainings that these numbers were published for
PUBLISHED_EPOCHS = 240
DKD_METHODS, LSD_METHODS = ("dkd", "abdkd"), ("lsd", "ablsd")

_POINT: Values = {"alpha": Value(0.8, ABKD_SCRIPT), "beta": Value(0.3, ABKD_SCRIPT)}
_VARIANT_POINT: Values = {"alpha": Value(0.8, DECLARED + ", as ABKD"), "beta": Value(0.3, DECLARED + ", as ABKD")}
_DKD: Values = {
    "temperature": Value(4.0, DKD_PAPER),
    "target_weight": Value(1.0, DKD_PAPER),
    "non_target_weight": Value(2.0, DKD_PAPER),
    "warm_up_epochs": Value(20, DKD_PAPER),
    "distill_weight": Value(1.0),
    "hard_weight": Value(1.0),
}
_LSD: Values = {
    "temperature": Value(2.0, LSD_PAPER),
    "distill_weight": Value(9.0, LSD_PAPER),
    "hard_weight": Value(0.1, LSD_PAPER),
}
_TTM: Values = {
    "gamma": Value(0.1, TTM_PAPER),
    "distill_weight": Value(45.0, TTM_PAPER + " gives 45 to 76; the choice is declared by this project"),
    "hard_weight": Value(1.0),
}
_KD: Values = {
    "temperature": Value(4.0, ABKD_SCRIPT),
    "distill_weight": Value(2.0, ABKD_SCRIPT),
    "hard_weight": Value(1.0, ABKD_SCRIPT),
}
# divergences without T² that no published recipe for images has
_AS_ABKD: Values = {
    "temperature": Value(4.0, DECLARED + ", as abkd"),
    "distill_weight": Value(32.0, DECLARED + ", as abkd"),
    "hard_weight": Value(1.0, DECLARED + ", as abkd"),
}
_AS_KD = {name: Value(value.value, DECLARED + ", as kd") for name, value in _KD.items()}

METHODS: dict[str, Values] = {
    "sft": {"hard_weight": Value(1.0, PAPER)},
    "kd": _KD,
    "rkld": _AS_KD,
    "dkd": _DKD,
    "lsd": _LSD,
    "ttm": _TTM,
    "wttm": _TTM,
    "dist": {"temperature": Value(4.0, DIST_PAPER), "distill_weight": Value(1.0), "hard_weight": Value(1.0)},
    "abkd": _POINT
    | {
        "temperature": Value(4.0, ABKD_SCRIPT),
        "distill_weight": Value(32.0, ABKD_SCRIPT),
        "hard_weight": Value(1.0, ABKD_SCRIPT),
    },
    "abdkd": _VARIANT_POINT | _DKD,
    "ablsd": _VARIANT_POINT | _LSD,
    "abttm": _VARIANT_POINT | _TTM,
    **dict.fromkeys(("jsd", "tvd", "wsd", "skew-kl", "skew-rkl", "akl", "bdkd", "alphanet"), _AS_ABKD),
}


def dkd_warm_up(epochs: int) -> Values:
    """DKD's warm-up in a shorter training: the same share of it."""
    share = _DKD["warm_up_epochs"].value / PUBLISHED_EPOCHS
    return {"warm_up_epochs": Value(share * epochs, DECLARED + "; of 240 epochs 20 in " + DKD_PAPER)}
