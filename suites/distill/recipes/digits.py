"""Recipes of the handwritten digits.

Values that come from nowhere else were chosen, the same for every method, so that the teacher is good and the student on
labels alone falls short of it. The digits have no third part to choose on: differences of a percentage point between
distillation losses mean nothing there. Methods without values here have the papers'.
"""

from suites.distill.recipes.papers import DKD_METHODS, METHODS, dkd_warm_up
from suites.distill.recipes.recipe import ABKD_SCRIPT, DECLARED, PAPER, DatasetRecipes, Value

_TRAINING = {
    "epochs": Value(20),
    "batch_size": Value(64, PAPER),
    "learning_rate": Value(0.1),
    "warm_up_steps": Value(28),
    "momentum": Value(0.9, PAPER),
    "weight_decay": Value(5e-4, PAPER),
    "schedule": Value("cosine"),
}
_AS_KD = DECLARED + ", as kd"

RECIPES = DatasetRecipes(
    teachers={"smoke": _TRAINING},
    students={"smoke": _TRAINING | {"learning_rate": Value(0.2)}},
    methods=METHODS
    | {
        "sft": {"hard_weight": Value(1.0)},
        "kd": {
            "temperature": Value(4.0, ABKD_SCRIPT),
            "distill_weight": Value(2.0, ABKD_SCRIPT),
            "hard_weight": Value(1.0, ABKD_SCRIPT),
        },
        "rkld": {"temperature": Value(4.0, _AS_KD), "distill_weight": Value(2.0, _AS_KD), "hard_weight": Value(1.0, _AS_KD)},
        "abkd": {
            # of the example that the harness leads with; its guide for images is α .8–1 and β .1–.2
            "alpha": Value(0.8),
            "beta": Value(0.2),
            "temperature": Value(4.0, ABKD_SCRIPT),
            "distill_weight": Value(32.0, ABKD_SCRIPT + "; as much as kd's 2·T²"),
            "hard_weight": Value(1.0, ABKD_SCRIPT),
        },
    },
    scaled={("smoke", method): dkd_warm_up(_TRAINING["epochs"].value) for method in DKD_METHODS},
    default_pair={"smoke": "digits-teacher:digits-student"},
    default_methods={"smoke": ("sft", "kd", "rkld", "abkd")},
    default_seeds={"smoke": 10},
    models={"digits-teacher": "convnet-16-32-64", "digits-student": "convnet-4-8"},
    architectures=("convnet",),
    traces_every_method=True,
    epoch_seconds={"smoke": (0.5, 0.125), "trace": (1.5, 1.5)},
)
