"""Objectives by name: the training loss of ABKD (Eq. 7), and the distillation terms of the methods beside it."""

from ..common.methods import warm_up
from .losses.abkd import ABKDLoss
from .losses.classification import (
    abdkd_loss,
    ablsd_loss,
    abttm_loss,
    dist_loss,
    dkd_loss,
    kd_loss,
    lsd_loss,
    ttm_loss,
    wttm_loss,
)
from .losses.keras_loss import KerasABKDLoss, pack_targets, unpack_targets
from .losses.labels import cross_entropy
from .losses.sequences import sequence_loss

__all__ = [
    "ABKDLoss",
    "KerasABKDLoss",
    "abdkd_loss",
    "ablsd_loss",
    "abttm_loss",
    "cross_entropy",
    "dist_loss",
    "dkd_loss",
    "kd_loss",
    "lsd_loss",
    "pack_targets",
    "sequence_loss",
    "ttm_loss",
    "unpack_targets",
    "warm_up",
    "wttm_loss",
]
